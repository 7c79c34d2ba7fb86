"""CondInst+IAI on OVIS (25 classes): a new size for every frame, up to 50 objects, starts from YouTube-VIS 2019."""
_base_ = ['../_base_/models/condinst_iai_r50.py', '../_base_/datasets/ovis.py',
          '../_base_/schedules/iai_12e.py', '../_base_/default_runtime.py']

model = dict(lstt=dict(max_obj_num=25), bbox_head=dict(num_classes=25, max_obj_num=25), test_cfg=dict(max_per_img=50))
test_pipeline = [dict(type='ClipResize', scale=(640, 360), rule='mmcv')]
train_dataloader = dict(
    batch_size=2,
    dataset=dict(clip=dict(type='GapClips', num_frames=5, max_gap=3, repeats=5), pipeline=[
        dict(type='ClipResize', scale=[(649, 360), (960, 480)], rule='mmcv', multiscale_mode='range', per_frame=True),
        dict(type='ClipFlip', prob=0.5, per_frame=True),
        # the frames of a clip leave with one size; these levels are 0 after normalising
        dict(type='ClipPad', value=(104, 117, 124))]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# Layers whose shape differs (classes, identity slots) are skipped with a message and start anew.
load_from = 'models/iai_condinst_r50.pth'
auto_scale_lr = dict(base_batch_size=4)
