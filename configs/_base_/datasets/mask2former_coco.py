"""COCO instances for Mask2Former: jittered crops of 1024 x 1024 pixels, padded with grey; in tests short side 800."""
_base_ = ['./coco.py']

train_dataloader = dict(
    batch_size=2, sampler=dict(_delete_=True, type='InfiniteClipSampler'), batch_sampler=dict(group_by_aspect=False),
    dataset=dict(pipeline=[
        dict(type='ClipFlip', prob=0.5),
        dict(type='ClipLSJ', size=(1024, 1024), scale=(0.1, 2.0), rule='detectron2'),
        dict(type='ClipPad', size=(1024, 1024), value=128),
        dict(type='ClipBoxesFromMasks')]))
val_dataloader = dict(dataset=dict(pipeline=[dict(type='ClipResize', scale=(1333, 800), rule='detectron2')]))
test_dataloader = val_dataloader
