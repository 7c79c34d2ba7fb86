"""SipMask-VIS on YouTube-VIS 2021 (40 classes), one scale: the recipe of 2019, other classes and files."""
_base_ = './sipmask_r50_caffe_fpn_gn_1x.py'

dataset_type = 'YTVIS2021Dataset'
num_classes = 40
model = dict(bbox_head=dict(num_classes=num_classes))
train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
