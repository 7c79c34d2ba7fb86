"""SipMask-VIS on the transformer of MemCNP-VIS: a baseline of its authors, published name; YouTube-VIS 2021."""
_base_ = './vitmae_cnp_contrast_ms_1x.py'

model = dict(
    type='SipMaskVIS',
    bbox_head=dict(_delete_=True, type='SipMaskHead', num_classes=40, in_channels=256, feat_channels=256,
                   stacked_convs=3, strides=[8, 16, 32, 64],
                   regress_ranges=[(-1, 64), (64, 128), (128, 256), (256, 1e8)],
                   center_sample_radius=1.5, aug_ref_bbox_param=[0.05, 0.05]),
    tracker=dict(type='AssociationTracker'),
    test_cfg=dict(score_thr=0.03))
test_pipeline = [dict(type='ClipResize', scale=(640, 360), rule='mmcv')]
train_dataloader = dict(batch_size=8)                # on each of four GPUs
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=0.005))
auto_scale_lr = dict(base_batch_size=32)
