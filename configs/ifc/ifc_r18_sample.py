"""IFC on clips of the sample set, from the model of ifc_r18_sample_frames.py."""
_base_ = './ifc_r18_sample_frames.py'

train_pipeline = [
    dict(type='ClipRandomChoice', prob=[0.7, 0.3], branches=[
        [], [dict(type='ClipCrop', size=(108, 192), mode='absolute')]]),
    dict(type='ClipResize', scale=[(240, 134), (320, 178)], rule='mmcv', backend='cv2', multiscale_mode='range'),
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipColorJitter', brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.2, 1.6), hue=180),
    dict(type='ClipBoxesFromMasks'),
]
train_dataloader = dict(
    batch_size=2, dataset=dict(clip=dict(type='RandomClips', num_frames=4, range=8, replace=True, repeats=20),
                               pipeline=train_pipeline))

# Two processes of 2 clips: tools/train.py ... --gpus 2
train_cfg = dict(max_epochs=3, val_interval=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=3, T_max=3, eta_min=2e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4)
load_from = 'work_dirs/ifc_r18_sample_frames/epoch_30.pth'
