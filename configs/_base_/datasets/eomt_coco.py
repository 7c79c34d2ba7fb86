"""COCO instances for EoMT: jittered crops of 640 x 640 pixels; in tests the image fits into that square."""
_base_ = ['./coco.py']

train_dataloader = dict(
    batch_size=4, sampler=dict(_delete_=True, type='InfiniteClipSampler'), batch_sampler=dict(group_by_aspect=False),
    dataset=dict(pipeline=[dict(type='ClipFlip', prob=0.5), dict(type='ClipLSJ', size=(640, 640), scale=(0.1, 2.0)),
                           dict(type='ClipBoxesFromMasks')], redraw_empty=True))
val_dataloader = dict(dataset=dict(pipeline=[dict(type='ClipResize', scale=(640, 640), rule='fit')]))
test_dataloader = val_dataloader
