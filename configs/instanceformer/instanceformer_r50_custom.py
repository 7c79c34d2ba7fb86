"""InstanceFormer, ResNet-50, on your own videos: the published model, fine-tuned on a GPU.

Copy this file, or change it on the command line:
    python tools/train.py instanceformer_r50_custom.py --validate --cfg-options train_dataloader.dataset.data_root=FOLDER ...
"""
_base_ = './instanceformer_r50_ytvis2021.py'

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 40                # as many as the annotation files have categories

model = dict(num_classes=num_classes, class_units=None)
train_dataloader = dict(batch_size=2, dataset=dict(type='VISDataset', data_root=data_root))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=12)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8], gamma=0.1)]
optim_wrapper = dict(optimizer=dict(lr=5e-5))
auto_scale_lr = dict(base_batch_size=2)

# python tools/download_checkpoint.py instanceformer; the trained models in that folder serve as well
load_from = 'models/instanceformer/r50_pretrain.pth'
