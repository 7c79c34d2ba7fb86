"""What identity needs, shown on four videos: videomt_vit_tiny_sample_gaps.py goes on with these alone and is tested on them.

    python tools/split_dataset.py data/sample/train.json --val-ratio 0.025 --out data/sample_four
"""
_base_ = './videomt_vit_tiny_sample_gaps.py'

four = dict(ann_file='data/sample_four/annotations/instances_val_sub.json', img_prefix='data/sample/train/JPEGImages')
max_iters = 800
train_dataloader = dict(dataset=dict(clip=dict(repeats=25), **four))
val_dataloader = dict(dataset=four)
test_dataloader = dict(dataset=four)

# Two processes of 1 clip: tools/train.py ... --gpus 2 --amp
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', by_epoch=False, begin=50, end=max_iters, power=0.9, eta_min=3e-6),
]
load_from = 'models/videomt_sample.pth'
