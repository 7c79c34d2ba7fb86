"""InstanceFormer with ResNet-50 on YouTube-VIS 2021 alone; the recipe of 2019."""
_base_ = ['../_base_/models/instanceformer_r50.py', '../_base_/datasets/ytvis2021.py',
          '../_base_/datasets/instanceformer_pipelines.py', '../_base_/schedules/instanceformer_16e.py',
          '../_base_/default_runtime.py']

train_dataloader = dict(
    batch_size=4,
    batch_sampler=dict(group_by_aspect=False, drop_last=True),
    dataset=dict(clip=dict(type='NeighbourClips', num_frames=4), pipeline={{_base_.video_pipeline}}, redraw_empty=True))
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader

# COCO pre-training (instanceformer_r50_coco.py)
load_from = 'work_dirs/instanceformer_r50_coco/epoch_12.pth'
