"""Running a model: configs, launching, the runner and its loops, checkpoints."""
from typing import Any

from mmvis.cli import ToolParser, run_tool
from mmvis.lazy import lazy_name

_MODULES = {
    'amp': 'MixedPrecisionOptimWrapper use_precision',
    'checkpoint': 'find_checkpoints',
    'class_numbers': 'check_trained fill_class_number',
    'config': 'find_config load_config',
    'config_values': 'CfgOptions',
    'detectron2_groups': 'Detectron2Groups',
    'hooks': 'DamagedFramesHook FiniteLossHook SafeCheckpointHook',
    'launch': 'init_dist launcher_variables spawn',
    'layer_decay': 'LayerDecayGroups TwoStagePoly',
    'loops': 'VideoTestLoop VideoValLoop',
    'preemption': 'PassingCheckpointHook',
    'runner': 'VISRunner build_runner',
    'steps': 'use_global_batch',
    'train_loop': 'EpochTrainLoop IterTrainLoop',
}

__all__ = ['CfgOptions', 'DamagedFramesHook', 'Detectron2Groups', 'EpochTrainLoop', 'FiniteLossHook', 'IterTrainLoop',
           'LayerDecayGroups', 'MixedPrecisionOptimWrapper', 'PassingCheckpointHook', 'SafeCheckpointHook',
           'ToolParser', 'TwoStagePoly', 'VISRunner', 'VideoTestLoop', 'VideoValLoop', 'build_runner',
           'check_trained', 'fill_class_number', 'find_checkpoints', 'find_config', 'init_dist', 'launcher_variables',
           'load_config', 'run_tool', 'spawn', 'use_global_batch', 'use_precision']


def __getattr__(name: str) -> Any:
    return lazy_name(__name__, _MODULES, name)
