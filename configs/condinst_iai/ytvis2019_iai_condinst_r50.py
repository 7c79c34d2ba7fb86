"""The official config of CondInst+IAI on YouTube-VIS 2019 (github.com/zfonemore/IAI), under its published name."""
_base_ = ['../_base_/models/condinst_iai_r50.py', '../_base_/datasets/ytvis2019.py',
          '../_base_/schedules/iai_12e.py', '../_base_/default_runtime.py']

test_pipeline = [dict(type='ClipResize', scale=(640, 360), rule='mmcv')]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(clip=dict(type='GapClips', num_frames=5, max_gap=3, repeats=5), pipeline=[
        dict(type='ClipResize', scale=(640, 360), rule='mmcv'),
        dict(type='ClipFlip', prob=0.5, per_frame=True)]))      # per_frame=False: one draw a clip
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# Training starts from CondInst on COCO (README beside this file); another start: --cfg-options load_from=FILE.
load_from = 'models/condinst_r50.pth'
