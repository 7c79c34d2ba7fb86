"""CondInst+IAI on YouTube-VIS 2021 (40 classes, another list than 2019): 25 identity slots, two clips a GPU."""
_base_ = ['../_base_/models/condinst_iai_r50.py', '../_base_/datasets/ytvis2021.py',
          '../_base_/schedules/iai_12e.py', '../_base_/default_runtime.py']

model = dict(lstt=dict(max_obj_num=25), bbox_head=dict(max_obj_num=25))
test_pipeline = [dict(type='ClipResize', scale=(640, 360), rule='mmcv')]
train_dataloader = dict(
    batch_size=2,
    dataset=dict(clip=dict(type='GapClips', num_frames=5, max_gap=3, repeats=5), pipeline=[
        dict(type='ClipResize', scale=[(649, 360), (960, 480)], rule='mmcv', multiscale_mode='range'),
        dict(type='ClipFlip', prob=0.5, per_frame=True)]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

load_from = 'models/condinst_r50.pth'
auto_scale_lr = dict(base_batch_size=4)
