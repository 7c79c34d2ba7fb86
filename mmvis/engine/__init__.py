"""Running a model: configs, launching, the runner and its loops, checkpoints."""
from mmvis.cli import ToolParser, run_tool

from .amp import MixedPrecisionOptimWrapper
from .config import find_config, load_config
from .config_values import CfgOptions
from .detectron2_groups import Detectron2Groups
from .hooks import DamagedFramesHook, FiniteLossHook, SafeCheckpointHook
from .launch import LAUNCHERS, init_dist, spawn
from .layer_decay import LayerDecayGroups, TwoStagePoly
from .loops import VideoTestLoop, VideoValLoop
from .preemption import PassingCheckpointHook
from .runner import VISRunner, build_runner
from .train_loop import EpochTrainLoop, IterTrainLoop

__all__ = ['CfgOptions', 'DamagedFramesHook', 'Detectron2Groups', 'EpochTrainLoop', 'FiniteLossHook', 'IterTrainLoop',
           'LAUNCHERS', 'LayerDecayGroups', 'MixedPrecisionOptimWrapper', 'PassingCheckpointHook', 'SafeCheckpointHook',
           'ToolParser', 'TwoStagePoly', 'VISRunner', 'VideoTestLoop', 'VideoValLoop', 'build_runner', 'find_config',
           'init_dist', 'load_config', 'run_tool', 'spawn']
