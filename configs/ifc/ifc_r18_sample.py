"""IFC on clips of the sample set, from the model of ifc_r18_sample_frames.py."""
_base_ = './ifc_r18_sample_frames.py'

train_dataloader = dict(
    batch_size=2, dataset=dict(clip=dict(type='RandomClips', num_frames=4, range=8, replace=True, repeats=20)))

# Two processes of 2 clips: tools/train.py ... --gpus 2
train_cfg = dict(max_epochs=5, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=5, T_max=5, eta_min=2e-6, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4)
load_from = 'work_dirs/ifc_r18_sample_frames/epoch_16.pth'
