"""MinVIS with ResNet-50 on YouTube-VIS 2021, as published: 8 processes of 4 frames."""
_base_ = ['../_base_/models/minvis_r50.py', '../_base_/datasets/ytvis2021.py', '../_base_/datasets/minvis_pipelines.py',
          '../_base_/schedules/minvis.py']

model = dict(segmenter=dict(num_classes=40))
train_dataloader = dict(batch_size=4, sampler=dict(type='InfiniteClipSampler'), dataset={{_base_.train_frames}})
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline_360}}))
test_dataloader = val_dataloader

max_iters = 8000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[5500], gamma=0.1)]

# Mask2Former on COCO; the class layer is new
load_from = 'models/mask2former_r50_coco.pth'
