"""What is checked of a config before anything is built from it."""
import logging
import math
from typing import Any, Dict, List

from mmengine.config import Config
from mmengine.logging import print_log

from mmvis.errors import InputError

from .config_keys import check_keys, check_type_names, misspelt_variables
from .config_options import look_up
from .config_types import check_types

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
#: Whole numbers of a training and the least that makes sense.
_LEAST = {'train_cfg.max_epochs': 1, 'train_cfg.max_iters': 1, 'train_cfg.val_interval': 0,
          'optim_wrapper.accumulative_counts': 1, 'randomness.seed': 0, 'default_hooks.checkpoint.interval': -1,
          'default_hooks.logger.interval': 1, 'auto_scale_lr.base_batch_size': 1,
          'default_hooks.checkpoint.max_keep_ckpts': -1}
#: Those that may be None.
_MAY_BE_NONE = ('train_cfg.val_interval', 'randomness.seed')
#: Words that a key may be; None is always taken.
_CHOICES = {'default_scope': ('mmvis',), 'launcher': ('none', 'pytorch', 'slurm', 'mpi'), 'sync_bn': ('torch', 'mmcv'),
            'env_cfg.mp_cfg.mp_start_method': ('fork', 'spawn', 'forkserver'),
            'env_cfg.dist_cfg.backend': ('nccl', 'gloo', 'mpi')}
#: Parts that are one dict each, or None.
_DICTS = ('model', 'train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper', 'default_hooks', 'env_cfg', 'randomness',
          'log_processor', 'visualizer', 'auto_scale_lr', 'data_preprocessor', 'model_wrapper_cfg', *_LOADERS)


def prepare_config(cfg: Config) -> None:
    """Check keys and values of a config; set what a data loader without workers cannot have.

    Raises:
        InputError: one sentence with the file, the key and the value.
    """
    _check_shapes(cfg)
    check_keys(cfg)
    check_type_names(cfg)
    check_types(cfg)
    for name, near in misspelt_variables(cfg).items():
        print_log(f'{cfg.filename} has {name}, which nothing reads: did you mean {near}?', logger='current',
                  level=logging.WARNING)
    level = cfg.get('log_level', 'INFO')
    if not isinstance(level, int) and not isinstance(logging.getLevelName(level), int):
        raise InputError(f'{cfg.filename}: log_level is {level!r}: take one of DEBUG, INFO, WARNING, ERROR, CRITICAL.')
    for key, least in _LEAST.items():
        for value in _values(cfg, key):
            if not (value is None and key in _MAY_BE_NONE):
                _check_whole(cfg, key, value, least)
    for key, choices in _CHOICES.items():
        for value in _values(cfg, key):
            if value is not None and value not in choices:
                raise InputError(f'{cfg.filename}: {key} is {value!r}: take {" or ".join(choices)}.')
    _check_class_numbers(cfg, 'model', cfg.get('model'))
    _check_optimizer(cfg, look_up(cfg._cfg_dict, 'optim_wrapper.optimizer') or {})
    for key in ('work_dir', 'load_from', 'resume', 'experiment_name'):
        if not isinstance(cfg.get(key), (str, type(None))) and not (key == 'resume' and isinstance(cfg[key], bool)):
            raise InputError(f'{cfg.filename}: {key} is {cfg[key]!r}: a text is expected.')
    for name in _LOADERS:
        if cfg.get(name) is not None:
            _prepare_loader(cfg, name, cfg[name])


def _values(cfg: Config, key: str) -> List[Any]:
    """What stands under a key; nothing where the key is not there."""
    part, _, name = key.rpartition('.')
    above = look_up(cfg._cfg_dict, part) if part else cfg._cfg_dict
    return [above[name]] if isinstance(above, dict) and name in above else []


def _check_shapes(cfg: Config) -> None:
    for name in _DICTS:
        if not isinstance(cfg.get(name), (dict, type(None))):
            raise InputError(f'{cfg.filename}: {name} is {cfg[name]!r}: a dict is expected.')
    hooks = cfg.get('custom_hooks')
    if hooks is not None and not (isinstance(hooks, (list, tuple)) and all(isinstance(hook, dict) for hook in hooks)):
        raise InputError(f"{cfg.filename}: custom_hooks is {hooks!r}: a list of dicts is expected, such as "
                         "[dict(type='EMAHook')].")


def _check_class_numbers(cfg: Config, path: str, part: Any) -> None:
    if isinstance(part, dict):
        if 'num_classes' in part:
            _check_whole(cfg, f'{path}.num_classes', part['num_classes'], 0)
        for name, item in part.items():
            _check_class_numbers(cfg, f'{path}.{name}', item)
    elif isinstance(part, (list, tuple)):
        for index, item in enumerate(part):
            _check_class_numbers(cfg, f'{path}.{index}', item)


def _check_optimizer(cfg: Config, optimizer: Dict[str, Any]) -> None:
    lr = optimizer.get('lr', 0)
    if not (_is_number(lr) and 0 <= lr < math.inf) and not (lr is None and optimizer.get('type') == 'Adafactor'):
        raise InputError(f'{cfg.filename}: optim_wrapper.optimizer.lr is {lr!r}, which is no learning rate.')
    for name in ('weight_decay', 'momentum', 'eps'):
        value = optimizer.get(name, 0)
        if not _is_number(value) or not 0 <= value < math.inf:
            raise InputError(f'{cfg.filename}: optim_wrapper.optimizer.{name} is {value!r}: a number of at least 0 is '
                             'expected.')
    if not all(_is_number(beta) and 0 <= beta < 1 for beta in optimizer.get('betas') or ()):
        raise InputError(f"{cfg.filename}: optim_wrapper.optimizer.betas is {optimizer['betas']!r}: numbers from 0 to below 1 "
                         'are expected.')


def _prepare_loader(cfg: Config, name: str, loader: Any) -> None:
    for key, least in (('batch_size', 1), ('num_workers', 0), ('prefetch_factor', 1)):
        if key in loader and not (key == 'prefetch_factor' and loader[key] is None):
            _check_whole(cfg, f'{name}.{key}', loader[key], least)
    sampler = loader.get('sampler') or {}
    if sampler.get('type') == 'VideoSampler' and loader.get('batch_size', 1) != 1:
        raise InputError(f'{cfg.filename}: {name}.batch_size is {loader.batch_size}, but videos are run one after another: '
                         f'leave it at 1. {name}.dataset.chunk_size is the number of frames that are run at once.')
    if not loader.get('num_workers'):  # torch refuses what is for workers where there are none
        for key in ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context'):
            loader.pop(key, None)


def _check_whole(cfg: Config, key: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f'{cfg.filename}: {key} is {value!r}: a whole number of at least {least} is expected.')


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
