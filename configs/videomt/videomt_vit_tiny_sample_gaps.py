"""Identity through the cuts of the sample set: videomt_vit_tiny_sample.py goes on with clips of frames further apart."""
_base_ = './videomt_vit_tiny_sample.py'

max_iters = 3000
# Up to four frames from one to the next: half of the clips see a cut, of those of consecutive frames a quarter.
train_dataloader = dict(dataset=dict(clip=dict(_delete_=True, type='GapClips', num_frames=5, max_gap=4, repeats=1)))

# Two processes of 1 clip: tools/train.py ... --gpus 2 --amp
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='PolyLR', by_epoch=False, begin=50, end=max_iters, power=0.9, eta_min=3e-6),
]
load_from = 'work_dirs/videomt_vit_tiny_sample/iter_1600.pth'
