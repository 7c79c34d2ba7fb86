"""MinVIS with Swin-L on YouTube-VIS 2019, as published but for the number of processes: there 16 of 2 frames, here 8 of 4.

Not run here.
"""
_base_ = ['./minvis_r50_ytvis2019.py', '../_base_/models/segmenter_swin_large.py']

model = dict(segmenter={{_base_.swin_large_segmenter}})
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline_480}}))
test_dataloader = val_dataloader

load_from = 'models/mask2former_swin_large_coco.pth'
