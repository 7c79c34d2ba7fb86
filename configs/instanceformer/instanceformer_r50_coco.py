"""COCO pre-training of InstanceFormer on single images: 12 epochs, 4 processes of 4 images, ImageNet backbone."""
_base_ = ['../_base_/models/instanceformer_r50.py', '../_base_/datasets/coco.py',
          '../_base_/schedules/instanceformer_16e.py', '../_base_/default_runtime.py']

# 91 sigmoid units; those of the 80 classes are COCO's category ids, 1 to 90 with ten gaps, as in Deformable DETR.
gaps = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
model = dict(num_classes=91, class_units=[i for i in range(1, 91) if i not in gaps], propagate_reference=None)

scales = [(1333, short) for short in range(480, 769, 32)]
train_pipeline = [
    dict(type='ClipFlip', prob=0.5),
    dict(type='ClipRandomChoice', branches=[
        [dict(type='ClipResize', scale=scales, rule='detr')],
        [dict(type='ClipResize', scale=[(None, 400), (None, 500), (None, 600)], rule='detr'),
         dict(type='ClipCrop', size=(384, 600), mode='absolute_range'),
         dict(type='ClipResize', scale=scales, rule='detr')]])]
train_dataloader = dict(batch_size=4, batch_sampler=dict(group_by_aspect=False, drop_last=True),
                        dataset=dict(pipeline=train_pipeline, redraw_empty=True))
val_dataloader = dict(dataset=dict(pipeline=[dict(type='ClipResize', scale=(1333, 800), rule='detr')]))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=12)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[4, 10], gamma=0.1)]

# ImageNet, torchvision's first weights; or Deformable DETR's checkpoint with iterative box refinement
load_from = 'models/resnet50.pth'
