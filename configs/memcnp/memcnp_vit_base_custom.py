"""MemCNP-VIS, ViT-B, on your own videos: the published model, fine-tuned on a GPU.

Copy this file, or change it on the command line: what is computed from the first five settings follows them.
    python tools/train.py memcnp_vit_base_custom.py --validate --cfg-options data_root=FOLDER lr=2e-5
"""
_base_ = './vitmae_cnp_contrast_ms_1x.py'

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 0                 # 0: as many as the annotation file has categories
scale = (960, 480)              # longest and shortest side of the network input; in training from 2/3, 3/4 of them on
lr = 3e-4                       # a third of the published rate: only the class layer is new
max_epochs = 12

model = dict(bbox_head=dict(num_classes=num_classes))
train_dataloader = dict(
    batch_size=4,
    dataset=dict(type='VISDataset', data_root=data_root,
                 pipeline=[dict(type='ClipResize', scale=[(scale[0] * 2 // 3, scale[1] * 3 // 4), scale], rule='mmcv',
                                multiscale_mode='range'),
                           dict(type='ClipFlip', prob=0.5)]))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root,
                                   pipeline=[dict(type='ClipResize', scale=scale, rule='mmcv')]))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 80, by_epoch=False, begin=0, end=1001),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, gamma=0.1,
         milestones=[max(1, max_epochs * 2 // 3), max(1, max_epochs * 11 // 12)]),
]
auto_scale_lr = dict(base_batch_size=4)

# python tools/download_checkpoint.py memcnp_vit_b
load_from = 'models/memcnp_vit_b.pth'
