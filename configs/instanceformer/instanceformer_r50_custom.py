"""InstanceFormer, ResNet-50, on your own videos: the published model, fine-tuned on a GPU.

Copy this file, or change it on the command line: what is computed from the first five settings follows them.
    python tools/train.py instanceformer_r50_custom.py --validate --cfg-options data_root=FOLDER lr=2e-5
"""
_base_ = './instanceformer_r50_ytvis2021.py'

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 0                 # 0: as many as the annotation file has categories
scale = (768, 360)              # longest and shortest side of the network input; in training 4/5 to 10/7 of the latter
lr = 5e-5
max_epochs = 12

model = dict(num_classes=num_classes, class_units=None)
sizes = [(scale[0], scale[1] * part // 45) for part in (36, 40, 44, 49, 52, 56, 60, 64)]
choice = dict(type='ClipRandomChoice', branches=[
    [dict(type='ClipResize', scale=sizes, rule='detr')],
    [dict(type='ClipResize', scale=[(None, 400), (None, 500), (None, 600)], rule='detr'),
     dict(type='ClipCrop', size=(384, 600), mode='absolute_range'),
     dict(type='ClipResize', scale=sizes, rule='detr')]])
train_dataloader = dict(
    batch_size=2,
    dataset=dict(type='VISDataset', data_root=data_root,
                 pipeline=[dict(type='ClipFlip', prob=0.5), dict(type='ClipPhotometric', per_frame=True), choice]))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root,
                                   pipeline=[dict(type='ClipResize', scale=scale, rule='detr')]))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, gamma=0.1,
                        milestones=[max(1, max_epochs * 2 // 3)])]
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=2)

# python tools/download_checkpoint.py instanceformer; the trained models in that folder serve as well
load_from = 'models/instanceformer/r50_pretrain.pth'
