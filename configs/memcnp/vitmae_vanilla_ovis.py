"""MemCNP-VIS, ViT-B, on OVIS (25 classes); the official file of this name has options that its head lacks."""
_base_ = './vitmae_cnp_contrast_ms_1x.py'

dataset_type = 'OVISDataset'
num_classes = 25
model = dict(bbox_head=dict(num_classes=25), test_cfg=dict(score_thr=0.015, nms=dict(iou_thr=0.3), max_per_img=20))
train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=0.005))
