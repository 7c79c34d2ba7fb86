"""EoMT, ViT-S, on your own images or single frames of your own videos: from DINOv2, on a GPU.

Copy this file, or change it on the command line: what is computed from the first six settings follows them.
    python tools/train.py eomt_vit_small_custom.py --cfg-options data_root=FOLDER lr=5e-5
"""
_base_ = ['../_base_/models/eomt.py', '../_base_/datasets/sample.py', '../_base_/schedules/eomt.py']

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 0                 # 0: as many as the annotation file has categories
scale = (640, 640)              # width and height of the network input, into which an image is fitted
lr = 1e-4
max_iters = 20000
val_interval = 2000             # iterations, with --validate

model = dict(
    data_preprocessor=dict(size=(scale[1], scale[0])), num_classes=num_classes,
    # each block with queries loses its masks in a sixth of the training
    fade=[(max_iters * first // 6, max_iters * (first + 1) // 6 + 1) for first in (1, 2, 3)])
train_dataloader = dict(
    batch_size=4, sampler=dict(type='InfiniteClipSampler'), batch_sampler=dict(group_by_aspect=False),
    dataset=dict(type='VISDataset', data_root=data_root, clip=dict(type='SingleFrames'), redraw_empty=True,
                 pipeline=[dict(type='ClipFlip', prob=0.5), dict(type='ClipLSJ', size=(scale[1], scale[0])),
                           dict(type='ClipBoxesFromMasks')]))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root,
                                   pipeline=[dict(type='ClipResize', scale=scale, rule='fit')]))
test_dataloader = val_dataloader

train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='TwoStagePoly', end=max_iters, power=0.9, warmup=(max_iters // 20, max_iters // 20))]
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=4)

# python tools/download_checkpoint.py dinov2_vits14_reg4_pretrain
load_from = 'models/dinov2_vits14_reg4_pretrain.pth'
