"""IFC, ResNet-50, on your own videos: the published model, fine-tuned on a GPU.

Copy this file, or change it on the command line:
    python tools/train.py ifc_r50_custom.py --validate --cfg-options train_dataloader.dataset.data_root=FOLDER ...
"""
_base_ = './ifc_r50_ytvis2019.py'

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 40                # as many as the annotation files have categories

model = dict(num_classes=num_classes)
train_dataloader = dict(batch_size=4, dataset=dict(type='VISDataset', data_root=data_root))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root))
test_dataloader = val_dataloader

train_cfg = dict(max_iters=3000)
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=3000, milestones=[2000], gamma=0.1)]
optim_wrapper = dict(optimizer=dict(lr=5e-5))
auto_scale_lr = dict(base_batch_size=4)

# python tools/download_checkpoint.py ifc_r50
load_from = 'models/ifc_r50.pth'
