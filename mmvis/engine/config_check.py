"""What is checked of a config before anything is built from it."""
import logging
import math
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mmvis.errors import InputError

from .config_keys import check_keys, misspelt_variables

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
#: Whole numbers of a training and the least that makes sense.
_LEAST = {'train_cfg.max_epochs': 1, 'train_cfg.max_iters': 1, 'train_cfg.val_interval': 0,
          'optim_wrapper.accumulative_counts': 1}


def prepare_config(cfg: Config) -> None:
    """Check keys and values of a config; set what a data loader without workers cannot have.

    Raises:
        InputError: one sentence with the file, the key and the value.
    """
    check_keys(cfg)
    for name, near in misspelt_variables(cfg).items():
        print_log(f'{cfg.filename} has {name}, which nothing reads: did you mean {near}?', logger='current',
                  level=logging.WARNING)
    level = cfg.get('log_level', 'INFO')
    if not isinstance(level, int) and not isinstance(logging.getLevelName(level), int):
        raise InputError(f'{cfg.filename}: log_level is {level!r}: take one of DEBUG, INFO, WARNING, ERROR, CRITICAL.')
    for key, least in _LEAST.items():
        part, name = key.split('.')
        value = (cfg.get(part) or {}).get(name)
        if value is not None:
            _check_whole(cfg, key, value, least)
    lr = ((cfg.get('optim_wrapper') or {}).get('optimizer') or {}).get('lr')
    if lr is not None and not (_is_number(lr) and 0 <= lr < math.inf):
        raise InputError(f'{cfg.filename}: optim_wrapper.optimizer.lr is {lr!r}, which is no learning rate.')
    for name in _LOADERS:
        if cfg.get(name) is not None:
            _prepare_loader(cfg, name, cfg[name])


def _prepare_loader(cfg: Config, name: str, loader: Any) -> None:
    for key, least in (('batch_size', 1), ('num_workers', 0)):
        if loader.get(key) is not None:
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
