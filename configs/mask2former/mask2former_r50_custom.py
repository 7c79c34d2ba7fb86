"""Mask2Former, ResNet-50, on your own images or single frames of your own videos: from COCO, on a GPU.

Copy this file, or change it on the command line: what is computed from the first six settings follows them.
    python tools/train.py mask2former_r50_custom.py --cfg-options data_root=FOLDER lr=5e-5
"""
_base_ = ['../_base_/models/mask2former_r50.py', '../_base_/datasets/sample.py', '../_base_/schedules/mask2former.py']

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 0                 # 0: as many as the annotation file has categories
scale = (1333, 640)             # longest and shortest side of the network input; in training from 3/4 of the latter on
lr = 1e-4
max_iters = 20000
val_interval = 2000             # iterations, with --validate

model = dict(segmenter=dict(num_classes=num_classes))
train_dataloader = dict(
    batch_size=4, sampler=dict(type='InfiniteClipSampler'),
    dataset=dict(type='VISDataset', data_root=data_root, clip=dict(type='SingleFrames'), redraw_empty=True,
                 pipeline=[dict(type='ClipResize', rule='detectron2', multiscale_mode='range',
                                scale=[(scale[0], scale[1] * 3 // 4), (scale[0], scale[1])]),
                           dict(type='ClipFlip', prob=0.5), dict(type='ClipBoxesFromMasks')]))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root,
                                   pipeline=[dict(type='ClipResize', scale=scale, rule='detectron2')]))
test_dataloader = val_dataloader

train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, gamma=0.1,
                        milestones=[max(1, max_iters * 9 // 10)])]
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=4)

# python tools/download_checkpoint.py mask2former_r50_coco
load_from = 'models/mask2former_r50_coco.pth'
