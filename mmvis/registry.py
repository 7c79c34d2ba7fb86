"""The registries of mmvis: each a child of mmengine's root registry, in the scope ``mmvis``.

A config names a class by its registered name (``type='MaskTrackRCNN'``) or, for a part of mmdet, with the
scope in front (``type='mmdet.ResNet'``). The modules under ``locations`` are imported at the first look-up,
so nothing heavy is loaded by importing this file.
"""
from typing import List

from mmengine import registry as root
from mmengine.registry import Registry

_SCOPE = 'mmvis'


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(parent.name, parent=parent, scope=_SCOPE, locations=list(locations))


def _below(package: str, *modules: str) -> List[str]:
    return [f'mmvis.{package}.{module}' for module in modules]


MODELS = _child(root.MODELS, 'mmvis.models')
DATASETS = _child(root.DATASETS, *_below('datasets', 'vis_dataset', 'coco_clips', 'joint'))
TRANSFORMS = _child(root.TRANSFORMS, *_below('datasets', 'transforms', 'clip_sampling'))
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, 'mmvis.datasets.samplers')
METRICS = _child(root.METRICS, *_below('evaluation', 'vis_metric', 'image_eval'))
HOOKS = _child(root.HOOKS, *_below('engine', 'hooks', 'preemption'))
LOOPS = _child(root.LOOPS, *_below('engine', 'loops', 'train_loop'))
RUNNERS = _child(root.RUNNERS, 'mmvis.engine.runner')
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, 'mmvis.engine.amp')
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS,
                                    *_below('engine', 'detectron2_groups', 'layer_decay'))
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'mmvis.engine.layer_decay')
# No class of ours as yet: without a child of these, mmengine warns at every look-up.
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS)
LOG_PROCESSORS = _child(root.LOG_PROCESSORS)
OPTIMIZERS = _child(root.OPTIMIZERS)
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS)
VISUALIZERS = _child(root.VISUALIZERS)
VISBACKENDS = _child(root.VISBACKENDS)
