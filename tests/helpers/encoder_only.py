"""Data trees and small overrides for the configs of EoMT and VidEoMT."""
import shutil
from pathlib import Path
from typing import List

from helpers.tiny_coco import write_coco
from helpers.tiny_vis import make_tiny_dataset

from mmvis.datasets.categories import OVIS, YTVIS_2019, YTVIS_2021

#: Folder of a data set -> its categories.
SETS = dict(ytvis2019=YTVIS_2019, ytvis2021=YTVIS_2021, ytvis2022=YTVIS_2021, ovis=OVIS,
            custom={2: 'left', 5: 'right', 90: 'none'})


def write_trees(root: Path, names=tuple(SETS)) -> None:
    """``root/data`` with video sets of one short video a split, and four images of COCO."""
    for name in names:
        categories = [dict(id=number, name=text) for number, text in SETS[name].items()]
        for split in ('train', 'valid'):
            make_tiny_dataset(root / 'data' / name, 1, 4, size=(48, 64), split=split, categories=categories)
    folder = write_coco(root / 'data').parents[1]
    shutil.copytree(folder / 'train2017', folder / 'val2017')
    shutil.copy(folder / 'annotations/instances_train2017.json', folder / 'annotations/instances_val2017.json')


def small_options(config) -> List[str]:
    """Options that make the network of a config small, and its input."""
    options = ['model.backbone.embed_dims=24', 'model.backbone.depth=4', 'model.backbone.num_heads=3',
               'model.num_query_blocks=2', 'model.num_queries=8', 'model.criterion.num_points=64']
    if config.model.type == 'EoMT':
        options += ['model.fade=[(0,1),(1,2)]', 'model.data_preprocessor.size=(64,64)',
                    'test_dataloader.dataset.pipeline.0.scale=(64,64)', 'train_dataloader.dataset.pipeline.1.size=(64,64)']
    else:
        options += ['test_dataloader.dataset.pipeline.0.scale=(96,64)']
    if config.model.num_classes == 0:
        options += ['num_classes=3']
    return options


def training_options(config) -> List[str]:
    """Two steps, without workers and without a start."""
    return [*small_options(config), 'load_from=None', 'train_cfg.max_iters=2', 'param_scheduler.0.end=2',
            'param_scheduler.0.warmup=(0,1)', 'default_hooks.checkpoint.interval=2', 'default_hooks.logger.interval=1',
            'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
