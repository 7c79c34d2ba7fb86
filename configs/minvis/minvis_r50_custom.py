"""MinVIS, ResNet-50, on your own videos: the published model, fine-tuned on a GPU.

Copy this file, or change it on the command line: what is computed from the first six settings follows them.
    python tools/train.py minvis_r50_custom.py --validate --cfg-options data_root=FOLDER lr=2e-5
"""
_base_ = ['../_base_/models/minvis_r50.py', '../_base_/datasets/sample.py', '../_base_/schedules/minvis.py']

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 0                 # 0: as many as the annotation file has categories
scale = (1333, 360)             # longest and shortest side of the network input; in training up to 4/3 of the latter
lr = 5e-5
max_iters = 3000
val_interval = 500              # iterations, with --validate

model = dict(segmenter=dict(num_classes=num_classes))
train_dataloader = dict(
    batch_size=8, sampler=dict(type='InfiniteClipSampler'),
    dataset=dict(type='VISDataset', data_root=data_root, clip=dict(type='RandomClips', num_frames=1),
                 pipeline=[dict(type='ClipResize', scale=[scale, (scale[0], scale[1] * 4 // 3)], rule='detectron2'),
                           dict(type='ClipFlip', prob=0.5), dict(type='ClipBoxesFromMasks')]))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root,
                                   pipeline=[dict(type='ClipResize', scale=scale, rule='detectron2')]))
test_dataloader = val_dataloader

train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, gamma=0.1,
                        milestones=[max(1, max_iters * 2 // 3)])]
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=8)

# the weights that the authors publish for YouTube-VIS 2019: models/README.md
load_from = 'models/minvis_r50_ytvis2019.pth'
