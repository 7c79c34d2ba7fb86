"""Small overrides for the configs of Mask2Former and of the systems on it."""
from typing import List


def small_options(config) -> List[str]:
    """Options that make the network of a config small, and its input."""
    part = 'model.segmenter'
    options = [f'{part}.backbone.depth=18', f'{part}.in_channels=(64,128,256,512)', f'{part}.embed_dims=32',
               f'{part}.num_queries=8', f'{part}.pixel_decoder.num_layers=1', f'{part}.pixel_decoder.num_heads=4',
               f'{part}.pixel_decoder.feedforward_dims=32', f'{part}.decoder.num_layers=3', f'{part}.decoder.num_heads=4',
               f'{part}.decoder.feedforward_dims=32', 'model.criterion.num_points=64',
               'test_dataloader.dataset.pipeline.0.scale=(96,64)']
    if config.model.type == 'Mask2Former':
        options += ['train_dataloader.dataset.pipeline.1.size=(64,64)', 'train_dataloader.dataset.pipeline.2.size=(64,64)']
    return options


def training_options(config) -> List[str]:
    """Two steps, without workers and without a start."""
    return [*small_options(config), 'load_from=None', 'train_cfg.max_iters=2', 'param_scheduler.0.end=2',
            'param_scheduler.0.milestones=[1]', 'default_hooks.checkpoint.interval=2', 'default_hooks.logger.interval=1',
            'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
            'train_dataloader.persistent_workers=False']
