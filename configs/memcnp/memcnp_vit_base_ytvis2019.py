"""MemCNP-VIS, ViT-B, on YouTube-VIS 2019 (40 classes, others than in 2021): the official recipe on that set."""
_base_ = './vitmae_cnp_contrast_ms_1x.py'

dataset_type = 'YTVIS2019Dataset'
train_dataloader = dict(dataset=dict(type=dataset_type))
val_dataloader = dict(dataset=dict(type=dataset_type))
test_dataloader = val_dataloader
