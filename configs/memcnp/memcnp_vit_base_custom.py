"""MemCNP-VIS, ViT-B, on your own videos: the published model, fine-tuned on a GPU.

Copy this file, or change it on the command line:
    python tools/train.py memcnp_vit_base_custom.py --validate --cfg-options train_dataloader.dataset.data_root=FOLDER ...
"""
_base_ = './vitmae_cnp_contrast_ms_1x.py'

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 40                # as many as the annotation files have categories

model = dict(bbox_head=dict(num_classes=num_classes))
train_dataloader = dict(batch_size=4, dataset=dict(type='VISDataset', data_root=data_root))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root))
test_dataloader = val_dataloader

# A third of the published rate: only the class layer is new.
optim_wrapper = dict(optimizer=dict(lr=3e-4))
auto_scale_lr = dict(base_batch_size=4)

# python tools/download_checkpoint.py memcnp_vit_b
load_from = 'models/memcnp_vit_b.pth'
