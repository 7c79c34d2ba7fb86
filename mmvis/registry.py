"""The registries of mmvis: each a child of mmengine's root registry, in the scope ``mmvis``.

A config names a class by its registered name (``type='MaskTrackRCNN'``) or, for a part of mmdet, with the
scope in front (``type='mmdet.ResNet'``). The modules under ``locations`` are imported at the first look-up,
so nothing heavy is loaded by importing this file.
"""
from mmengine import registry as root
from mmengine.registry import Registry

_SCOPE = 'mmvis'


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(parent.name, parent=parent, scope=_SCOPE, locations=list(locations))


MODELS = _child(root.MODELS, 'mmvis.models')
DATASETS = _child(root.DATASETS, 'mmvis.datasets')
TRANSFORMS = _child(root.TRANSFORMS, 'mmvis.datasets')
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, 'mmvis.datasets')
METRICS = _child(root.METRICS, 'mmvis.evaluation.vis_metric', 'mmvis.evaluation.image_eval')
HOOKS = _child(root.HOOKS, 'mmvis.engine')
LOOPS = _child(root.LOOPS, 'mmvis.engine')
RUNNERS = _child(root.RUNNERS, 'mmvis.engine')
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, 'mmvis.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS, 'mmvis.engine')
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS, 'mmvis.engine')
LOG_PROCESSORS = _child(root.LOG_PROCESSORS, 'mmvis.engine')
# No class of ours as yet: without a child of these, mmengine warns at every look-up.
OPTIMIZERS = _child(root.OPTIMIZERS)
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS)
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'mmvis.engine')
VISUALIZERS = _child(root.VISUALIZERS)
VISBACKENDS = _child(root.VISBACKENDS)
