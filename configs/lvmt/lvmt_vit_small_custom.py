"""LVMT, ViT-S, on your own videos: the published model of OVIS, whose decoder is fine-tuned on a GPU.

Copy this file, or change it on the command line: what is computed from the first six settings follows them.
    python tools/train.py lvmt_vit_small_custom.py --validate --cfg-options data_root=FOLDER lr=2e-5
"""
_base_ = ['../_base_/models/lvmt.py', '../_base_/datasets/sample.py', '../_base_/datasets/videomt_pipelines.py',
          '../_base_/schedules/lvmt.py']

data_root = 'data/custom'       # train.json, train/JPEGImages/<video>/<frame>.jpg, valid.json, valid/JPEGImages/...
num_classes = 0                 # 0: as many as the annotation file has categories
scale = (1333, 448)             # longest and shortest side of the network input; in training from 3/4 of the latter on
lr = 5e-5
max_iters = 3000
val_interval = 500              # iterations, with --validate

# clips of 10 frames in two chunks, over which an object keeps its query
model = dict(num_classes=num_classes, chunk_frames=5, hold_pairs=True)
train_dataloader = dict(
    batch_size=2, sampler=dict(type='InfiniteClipSampler'), batch_sampler=dict(group_by_aspect=False),
    dataset=dict(type='VISDataset', data_root=data_root, clip=dict(type='ConsecutiveClips', num_frames=10),
                 pipeline=[dict(type='ClipResize', rule='detectron2', multiscale_mode='range',
                                scale=[(scale[0], scale[1] * 3 // 4), (scale[0], scale[1])]),
                           dict(type='ClipFlip', prob=0.5), dict(type='ClipBoxesFromMasks')]))
val_dataloader = dict(dataset=dict(type='VISDataset', data_root=data_root,
                                   pipeline=[dict(type='ClipResize', scale=scale, rule='detectron2')]))
test_dataloader = val_dataloader

train_cfg = dict(max_iters=max_iters)
# a twentieth of the training for the warm-up
param_scheduler = [dict(type='TwoStagePoly', end=max_iters, power=0.9, warmup=(max_iters // 20, 0))]
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=2)

# The weights that the authors publish for OVIS: models/README.md
load_from = 'models/lvmt_vit_small_dinov3_ovis.pth'
