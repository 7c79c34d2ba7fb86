"""InstanceFormer with ResNet-50 on OVIS alone: memory of three frames, contrastive loss, after the YouTube-VIS model.

As in the published jobs the reference points are propagated by products in training and by sums in inference.
"""
_base_ = ['../_base_/models/instanceformer_r50.py', '../_base_/datasets/ovis.py',
          '../_base_/datasets/instanceformer_pipelines.py', '../_base_/schedules/instanceformer_16e.py',
          '../_base_/default_runtime.py']

model = dict(
    num_classes=27, class_units=list(range(1, 26)), memory=dict(num_tokens=10, num_frames=3),
    propagate_reference='multiply', test_propagate_reference='add')
train_dataloader = dict(
    batch_size=4,
    batch_sampler=dict(group_by_aspect=False, drop_last=True),
    dataset=dict(clip=dict(type='NeighbourClips', num_frames=3), pipeline={{_base_.video_pipeline}}, redraw_empty=True))
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader

# twice the rate, but for the backbone
optim_wrapper = dict(optimizer=dict(lr=2e-4), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.05))))

load_from = 'work_dirs/instanceformer_r50_joint_ytvis2019/epoch_16.pth'
