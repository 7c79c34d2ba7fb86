"""IFC on YouTube-VIS 2021 (40 classes, another list): the recipe of 2019 with the classes and files of that set."""
_base_ = ['../_base_/models/ifc_r50.py', '../_base_/datasets/ytvis2021.py', '../_base_/schedules/ifc_6k.py']

model = dict(num_classes=40)

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

load_from = 'models/ifc_r50_coco.pth'
