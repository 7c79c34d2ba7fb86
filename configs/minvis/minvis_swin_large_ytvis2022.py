"""MinVIS with Swin-L on YouTube-VIS 2022 (the training set of 2021). Not run here."""
_base_ = ['./minvis_r50_ytvis2022.py', '../_base_/models/segmenter_swin_large.py']

model = dict(segmenter={{_base_.swin_large_segmenter}})
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline_360}}))
test_dataloader = val_dataloader

load_from = 'models/mask2former_swin_large_coco.pth'
