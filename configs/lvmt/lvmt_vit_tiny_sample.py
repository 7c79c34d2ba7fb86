"""LVMT on clips of the sample set, on the frozen transformer of ../videomt/videomt_vit_tiny_sample.py."""
_base_ = '../videomt/videomt_vit_tiny_sample.py'

max_iters = 1600
model = dict(
    _delete_=True, type='LVMT',
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                           bgr_to_rgb=True, pad_size_divisor=8),
    backbone=dict(type='ViT', embed_dims=128, depth=6, num_heads=2, patch_size=8, stem='conv', grid=(14, 25),
                  cut_position=True, num_registers=0, eps=1e-6, layer_scale=1.),
    levels=(1, 2, 4, 5), num_blocks=3, num_classes=8, num_queries=10, chunk_frames=5, hold_pairs=True, stretch=1.,
    criterion=dict(no_object_weight=1., num_points=1400, oversample=2., importance=0.5))
# two chunks, whose pairs hold
train_dataloader = dict(dataset=dict(clip=dict(num_frames=10)))

# Two processes of 1 clip: tools/train.py ... --gpus 2 --amp
train_cfg = dict(max_iters=max_iters)
load_from = 'models/videomt_sample.pth'
