"""The published IFC (github.com/sukjunhwang/IFC, projects/IFC/configs/base_ytvis.yaml): 8 processes of 2 clips."""
_base_ = ['../_base_/models/ifc_r50.py', '../_base_/datasets/ytvis2019.py', '../_base_/schedules/ifc_6k.py']

test_pipeline = [dict(type='ClipResize', scale=(1333, 360), rule='detectron2')]
train_pipeline = [
    dict(type='ClipResize', scale=[(1333, 360), (1333, 480)], rule='detectron2'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipBoxesFromMasks'),
]
train_dataloader = dict(
    batch_size=2, sampler=dict(type='InfiniteClipSampler'),
    dataset=dict(clip=dict(type='RandomClips', num_frames=5, range=20, replace=True), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# Training starts from the COCO model of ifc_r50_coco.py, ours or the official one; only the last layer of the classes
# is new. Another start: --load-from FILE.
load_from = 'models/ifc_r50_coco.pth'
