"""The runner: mmengine's, with what a resumed training and a training on CPUs lack there."""
import importlib.util
import logging
import os
import shlex
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_rank,
    is_distributed,
    is_main_process,
    sync_random_seed,
)
from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import BaseLoop, Runner, set_random_seed
from torch import nn
from torch.utils.data import DataLoader

from mmvis.cli import keep_failures_in
from mmvis.converters import load_checkpoint
from mmvis.errors import InputError, of_user_path
from mmvis.registry import MODEL_WRAPPERS, RUNNERS
from mmvis.structures.output_file import same_file
from mmvis.version import __version__

from .checkpoint import (
    find_checkpoints,
    pack_message_hub,
    putting_back,
    read_training_state,
    restore_message_hub,
    write_checkpoint,
)
from .class_numbers import check_data, check_start, fill_class_number
from .config_check import prepare_config
from .config_keys import build_error
from .gpus import warn_of_unusable_gpu
from .history import bound_history
from .hooks import DamagedFramesHook
from .launch import init_dist
from .meeting import lost_processes_told, patience
from .own_modules import copy_own_modules
from .own_step import steps_by_itself
from .preemption import PassingCheckpointHook, StopRequest
from .resumed_rate import base_rates, follow_rate, restore_schedule
from .rng import get_rng_state, set_rng_state
from .steps import StepLoader, describe_step
from .work_dir import hold_work_dir
from .workers import guard_workers, worker_ends_told

LOGGERS = {'local': 'LocalVisBackend', 'tensorboard': 'TensorboardVisBackend', 'wandb': 'WandbVisBackend'}

_HOOKS_OF_MMENGINE = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
# how the messages of mmengine begin that are a hundred lines long
_FOR_THE_FILE = ('System environment:', 'Config:', 'Hooks will be executed')


def build_runner(cfg: Config) -> 'VISRunner':
    """Runner of a config.

    Beside mmengine's own keys a config has ``loggers``: names out of :data:`LOGGERS`, where the curves go.

    Raises:
        ValueError: an unknown logger, or one whose package is not installed.
    """
    warn_of_unusable_gpu()
    prepare_config(cfg)
    fill_class_number(cfg)
    with of_user_path(cfg.work_dir, 'cannot be made'):
        os.makedirs(cfg.work_dir, exist_ok=True)
    loggers = cfg.get('loggers') or []
    loggers = [loggers] if isinstance(loggers, str) else list(loggers)
    for name in loggers:
        if name not in LOGGERS:
            raise InputError(f'loggers has {name!r}: take some of {", ".join(LOGGERS)}.')
        if name != 'local' and importlib.util.find_spec(name) is None:
            raise InputError(f'loggers has {name!r}, but the package {name} is not installed: pip install {name}')
    if 'visualizer' not in cfg:
        names = dict.fromkeys(['local', *loggers])
        cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type=LOGGERS[name]) for name in names])
    try:
        return VISRunner.from_cfg(cfg)
    except TypeError as error:
        raise (build_error(cfg, error) or error) from None


@RUNNERS.register_module()
class VISRunner(Runner):
    """mmengine's runner with these differences.

    * A checkpoint holds tensors and plain Python values, and the states of the random generators of every process.
    * ``resume`` is False, True (the latest readable checkpoint of the work directory, or ``load_from`` when there is
      none yet) or the path of a checkpoint. A resumed training goes on as if it had never been stopped; its seed is
      that of the checkpoint.
    * ``load_from`` takes every layout that ``mmvis.converters`` knows.
    * Distributed training works on CPUs.
    * SIGTERM and SIGUSR1 end a training at the end of the present iteration, with a checkpoint.
    * Of two trainings in one work directory the second is refused.
    """

    # -- environment and log

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """mmengine's logger. Config and environment go to its file only: they would push all else off the screen."""
        logger = super().build_logger(*args, **kwargs)
        log_file = os.path.join(self.log_dir, f'{self.timestamp}.log')
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                _tell_failure_once(handler)
            else:
                handler.setFormatter(MMFormatter(color=False, datefmt='%m/%d %H:%M:%S'))
                handler.addFilter(lambda record: not record.getMessage().lstrip('\n-').startswith(_FOR_THE_FILE))
        logger.info(f'{shlex.join(sys.argv)}\nThe config as a whole and the environment: {log_file}')
        keep_failures_in(log_file)
        return logger

    def dump_config(self) -> None:
        """mmengine's copy of the config in the work directory; not over the config itself, where that lies there."""
        name = self.cfg.filename and os.path.join(self.work_dir, os.path.basename(self.cfg.filename))
        if not name or not same_file(name, self.cfg.filename):
            super().dump_config()
        if is_main_process():
            copy_own_modules(self.cfg, self.work_dir)

    def setup_env(self, env_cfg: Dict[str, Any]) -> None:
        if self.distributed and not is_distributed():
            init_dist(self.launcher, **env_cfg.get('dist_cfg') or {})
        if self._train_dataloader is not None and is_main_process():  # before the first file is written
            self._lock = hold_work_dir(self.work_dir)
        super().setup_env(env_cfg)

    @staticmethod
    def build_dataloader(dataloader: Union[DataLoader, Dict], seed: Optional[int] = None,
                         diff_rank_seed: bool = False) -> DataLoader:
        """mmengine's, whose workers do not outlive this process."""
        if isinstance(dataloader, DataLoader):
            return dataloader
        return guard_workers(Runner.build_dataloader(dataloader, seed, diff_rank_seed))

    def set_randomness(self, seed: Optional[int], diff_rank_seed: bool = True, deterministic: bool = False) -> None:
        """Seed the generators; without a seed one is drawn, the same for all processes.

        Args:
            seed: seed of the data and of the generators.
            diff_rank_seed: add the rank to the seed of the generators, as the official code bases do: else all processes
                drop the same activations. The data have one seed all the same, as the processes share one order of
                samples.
            deterministic: take deterministic algorithms; an operator that has none warns.
        """
        self._seed_drawn = seed is None
        self._seed = int(sync_random_seed()) if seed is None else int(seed)
        self._deterministic = deterministic
        # the loops read it, and would take the seed away from the samplers
        self._randomness_cfg = dict(seed=self._seed, deterministic=deterministic)
        self._diff_rank_seed = diff_rank_seed
        if deterministic:
            os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
        set_random_seed(self._seed + (get_rank() if diff_rank_seed else 0), deterministic)
        if deterministic:
            torch.use_deterministic_algorithms(True, warn_only=True)

    def wrap_model(self, model_wrapper_cfg: Optional[Dict[str, Any]], model: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', '.*broadcast_buffers', FutureWarning)  # torch's of mmengine
            if self.distributed and steps_by_itself(model):
                model_wrapper_cfg = dict(type='mmvis.OwnStepDataParallel', **(model_wrapper_cfg or {}))
            if get_device() != 'cpu' or not self.distributed or is_model_wrapper(model):
                return super().wrap_model(model_wrapper_cfg, model)
            # a CPU has no device ids and no synchronised batch normalisation
            options = dict(type='MMDistributedDataParallel', broadcast_buffers=False,
                           find_unused_parameters=self.cfg.get('find_unused_parameters', False))
            options.update(model_wrapper_cfg or {}, module=revert_sync_batchnorm(model))
            return MODEL_WRAPPERS.build(options)

    def build_optim_wrapper(self, optim_wrapper: Union[Dict, OptimWrapper]) -> OptimWrapper:
        """mmengine's; that gradients accumulate is the loop's to do, which counts steps and not batches."""
        optim_wrapper = super().build_optim_wrapper(optim_wrapper)
        optim_wrapper._accumulative_counts = 1
        return optim_wrapper

    @property
    def accumulated(self) -> int:
        """Batches of a process whose gradients make a step."""
        wrapper = self.optim_wrapper
        return wrapper.get('accumulative_counts', 1) if isinstance(wrapper, dict) else wrapper._accumulative_counts

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: Optional[Dict[str, Any]] = None) -> None:
        """Learning rate x (clips a step / ``base_batch_size``), where ``auto_scale_lr.enable`` says so; else it is said
        what a step takes and what the recipe takes.

        The linear rule of Goyal et al., "Accurate, Large Minibatch SGD" (arXiv:1706.02677), section 2.1.
        """
        split, base = self.train_loop.split, (auto_scale_lr or {}).get('base_batch_size')
        if not base:
            return
        if not auto_scale_lr.get('enable', False):
            log = self.logger.info if split.total == base else self.logger.warning
            return log(describe_step(split, base))
        scale = split.total / base
        for wrapper in optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]:
            for group in wrapper.optimizer.param_groups:
                group['lr'] *= scale
        self.logger.info(f'Learning rate scaled by {scale:g}: {split.total} samples a step ({split}) instead of {base}.')

    def register_default_hooks(self, hooks: Optional[Dict[str, Any]] = None) -> None:
        hooks = {'damaged_frames': DamagedFramesHook(), **(hooks or {})}
        # None takes a hook away; mmengine knows that of its own hooks only
        super().register_default_hooks({name: hook for name, hook in hooks.items() if hook or name in _HOOKS_OF_MMENGINE})

    # -- training

    def train(self) -> nn.Module:
        bound_history(self.message_hub, self.log_processor)
        self._training_state = self._find_training_state()
        if self._training_state is not None:  # before the data loaders are built, which take the seed
            seed = self._training_state['meta']['seed']
            if not self._seed_drawn and seed != self.seed:
                self.logger.warning(f'The seed is {seed}, as in the resumed checkpoint, not {self.seed}.')
            self.set_randomness(seed, self._diff_rank_seed, self._randomness_cfg['deterministic'])
        else:
            self._refuse_own_weights()
        if self._training_state is None and self._seed_drawn:
            self.logger.info(f'Seed {self.seed} was drawn: --seed {self.seed} repeats this training.')
        self.stop_request = StopRequest()
        if not any(isinstance(hook, PassingCheckpointHook) for hook in self.hooks):
            self.register_hook(PassingCheckpointHook(minutes=0))
        try:
            with self.stop_request.listening(), worker_ends_told(), lost_processes_told(patience(self.cfg)):
                return super().train()
        finally:
            self._end_workers()
            self._lock = None

    def test(self) -> Dict[str, float]:
        with worker_ends_told(), lost_processes_told(patience(self.cfg)):
            return super().test()

    def _refuse_own_weights(self) -> None:
        """Refuse ``load_from`` among the checkpoints of the work directory, which a training from the start replaces."""
        files = [file for kind in ('epoch', 'iter') for file in Path(self.work_dir).glob(f'*{kind}_*.pth')]
        if self._load_from and any(same_file(file, self._load_from) for file in files):
            raise InputError(f'{self._load_from} lies in the work directory {self.work_dir}, whose checkpoints this '
                             'training would write over: choose another --work-dir, or --resume it.')

    def save_in_passing(self, epoch: int, iteration: int) -> None:
        """Save after so many epochs and iterations, unless the latest checkpoint is of this moment."""
        hook = next(hook for hook in self.hooks if isinstance(hook, PassingCheckpointHook))
        hook.save(self, dict(epoch=epoch, iter=iteration))

    def _end_workers(self) -> None:
        """End the workers of the data loaders here: where the garbage collector does it, it waits 5 s for each."""
        for loop in (self._train_loop, self._val_loop):
            dataloader = getattr(loop, 'dataloader', None)
            dataloader = dataloader.dataloader if isinstance(dataloader, StepLoader) else dataloader
            if getattr(dataloader, '_iterator', None) is not None:
                dataloader._iterator = None

    def _find_training_state(self) -> Optional[Dict[str, Any]]:
        """Content of the checkpoint to go on from; None for a training from its start."""
        if not self._resume:
            return None
        path = self._resume if isinstance(self._resume, str) else self._find_latest()
        if path is None:
            self.logger.info(f'Nothing to resume in {self.work_dir}: the training starts from its beginning.')
            self._resume = False
            return None
        self._resume = path
        return read_training_state(path)

    def _find_latest(self) -> Optional[str]:
        """The latest checkpoint that can be read. The first process looks, the others take what it found."""
        answer = [None, None]
        if is_main_process():
            candidates = find_checkpoints(self.work_dir)
            for candidate in candidates:
                try:
                    read_training_state(str(candidate))
                except (OSError, ValueError) as error:
                    self.logger.warning(f'{error} Taking the checkpoint before it.')
                else:
                    answer[0] = str(candidate)
                    break
            else:
                if candidates:
                    answer[1] = f'None of the {len(candidates)} checkpoints in {self.work_dir} can be resumed.'
        broadcast_object_list(answer)
        if answer[1] is not None:
            raise InputError(answer[1])
        return answer[0]

    def _init_model_weights(self) -> None:
        if self._training_state is None:  # else every weight comes from the checkpoint
            super()._init_model_weights()

    def load_or_resume(self) -> None:
        if self._has_loaded:
            return
        loops = (self._train_loop, self._val_loop, self._test_loop)
        check_data(self._bare_model, [loop.dataloader.dataset for loop in loops if isinstance(loop, BaseLoop)])
        if getattr(self, '_training_state', None) is not None:
            self._restore(self._training_state, self._resume)
            self._training_state = None
        elif self._load_from is not None:
            self.load_checkpoint(self._load_from)

    def load_checkpoint(self, filename: str, map_location: str = 'cpu', strict: bool = False, **unused) -> None:
        """Load weights in any layout that ``mmvis.converters`` knows; it prints what became of every tensor."""
        report = load_checkpoint(self._bare_model, filename, strict=strict, logger=self.logger)
        check_start(report, filename, self._bare_model)
        self._has_loaded = True

    def resume(self, filename: str, **unused) -> None:
        """Put model, optimizer, schedules, counters and generators back as they were when the file was written."""
        self._restore(read_training_state(filename), filename)

    def _restore(self, state: Dict[str, Any], filename: str) -> None:
        meta = state['meta']
        self.call_hook('after_load_checkpoint', checkpoint=state)
        try:
            self._bare_model.load_state_dict(state['state_dict'])
        except RuntimeError as error:
            reason = ' '.join(str(error).split())
            raise InputError(f'{filename} is a checkpoint of another model: {reason[:300]} A training goes on with all of its '
                             'tensors or not at all: start a new one from these weights with --load-from.') from None
        rates = base_rates(self.optim_wrapper)
        with putting_back(filename, 'optimizer'):
            self.optim_wrapper.load_state_dict(state['optimizer'])
        restored = [f'epoch {meta["epoch"]}, iteration {meta["iter"]}',
                    f'optimizer with {len(state["optimizer"].get("state", ()))} states']
        if self.param_schedulers is not None and 'param_schedulers' in state:
            with putting_back(filename, 'param_schedulers'):
                self._restore_schedules(_flat(state['param_schedulers']), self.train_loop.stretch(meta))
            restored.append(f'{len(_flat(state["param_schedulers"]))} schedules')
        scaled = bool((self.auto_scale_lr or {}).get('enable', False))
        if line := follow_rate(rates, self.optim_wrapper, _flat(self.param_schedulers or []), scaled):
            self.logger.warning(line)
        restored.insert(1, 'lr ' + ', '.join(f'{lr:g}' for lr in sorted({*self.optim_wrapper.get_lr()['lr']})))
        with putting_back(filename, 'message_hub'):
            restore_message_hub(self.message_hub, state['message_hub'])
        self.train_loop.resume_at(meta)
        if len(state['rng_states']) == self.world_size:
            now = get_rng_state()
            with putting_back(filename, 'rng_states'):  # tried here, and put back when the first batch is drawn
                set_rng_state(state['rng_states'][get_rank()])
            set_rng_state(now)
            self.train_loop.rng_state = state['rng_states'][get_rank()]
            restored.append(f'random generators of {self.world_size} processes')
        else:
            self.logger.warning(f'The checkpoint was written by {len(state["rng_states"])} processes, now there are '
                                f'{self.world_size}: the draws will not be those of a training that was never stopped.')
        self._has_loaded = True
        self.logger.info(f'Resumed {filename}: {"; ".join(restored)}.')
        if self.iter >= self.max_iters:
            self.logger.info(f'All {self.max_iters} iterations of this training are done already.')

    def _restore_schedules(self, states: List[Dict[str, Any]], stretch: float) -> None:
        """Put the schedules back; those that are given in epochs and count iterations are stretched."""
        schedulers, configs = _flat(self.param_schedulers), self.cfg.get('param_scheduler')
        configs = configs if isinstance(configs, list) and len(configs) == len(schedulers) else [{}] * len(schedulers)
        for scheduler, state, config in zip(schedulers, states, configs):
            restore_schedule(scheduler, state, stretch if config.get('convert_to_iter_based') else 1.)

    def save_checkpoint(self, out_dir: str, filename: str, file_client_args: None = None, save_optimizer: bool = True,
                        save_param_scheduler: bool = True, meta: Optional[Dict[str, Any]] = None, by_epoch: bool = True,
                        backend_args: None = None) -> None:
        """Write a checkpoint; called on all processes, as it gathers the states of their generators.

        Args:
            out_dir, filename: where to.
            save_optimizer, save_param_scheduler: without them the file cannot be resumed.
            meta: epochs and iterations done (``epoch``, ``iter``); by default counted from the present ones.
            by_epoch: called at the end of an epoch, not of an iteration.
            file_client_args, backend_args: of mmengine; not used, files are local.
        """
        done = dict(epoch=self.epoch + 1, iter=self.iter) if by_epoch else dict(epoch=self.epoch, iter=self.iter + 1)
        done.update(meta or {})
        if save_optimizer and save_param_scheduler:
            self.message_hub.update_info('resumable_iter', done['iter'])
        # a checkpoint written by a validation takes the states from before it
        rng_states = all_gather_object(self.train_loop.rng_state or get_rng_state())
        if not is_main_process():
            return
        checkpoint = {
            'meta': dict(done, iters_per_epoch=len(self.train_dataloader), clips_a_step=self.train_loop.split.total,
                         clips_seen=self._clips_seen(done['iter']), world_size=self.world_size, seed=self.seed,
                         cfg=self.cfg.pretty_text, experiment_name=self.experiment_name,
                         time=time.strftime('%Y%m%d_%H%M%S'), mmvis_version=__version__,
                         dataset_meta=getattr(self.train_dataloader.dataset, 'metainfo', {})),
            'state_dict': self._bare_model.state_dict(),
            'message_hub': pack_message_hub(self.message_hub),
            'rng_states': rng_states,
        }
        if save_optimizer:
            checkpoint['optimizer'] = self.optim_wrapper.state_dict()
        if save_param_scheduler and self.param_schedulers is not None:
            checkpoint['param_schedulers'] = [scheduler.state_dict() for scheduler in _flat(self.param_schedulers)]
        self.call_hook('before_save_checkpoint', checkpoint=checkpoint)
        write_checkpoint(checkpoint, os.path.join(out_dir, filename))

    def _clips_seen(self, iteration: int) -> int:
        """Clips that the data are behind their beginning after an iteration, the present one or the one before it."""
        loop = self.train_loop
        return (loop.steps_of_data + iteration - loop.iter) * loop.split.total

    @property
    def _bare_model(self) -> nn.Module:
        return self.model.module if is_model_wrapper(self.model) else self.model


def _tell_failure_once(handler: logging.FileHandler) -> None:
    """Let a log file that cannot be written cost one line; logging's own way is a traceback for each line of the log."""
    told = False

    def handle(record: logging.LogRecord) -> None:
        nonlocal told
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # a bug of what was to be logged
            return logging.FileHandler.handleError(handler, record)
        if not told:
            told = True
            with suppress(OSError, ValueError):  # what is printed may go to the same full disk, or nowhere any more
                print(f'The log file {handler.baseFilename} cannot be written: {error.strerror}.', file=sys.stderr,
                      flush=True)

    handler.handleError = handle


def _flat(schedulers) -> list:
    """Schedules of one optimizer (a list) or of several (a dict of lists) in one list."""
    return sum(schedulers.values(), []) if isinstance(schedulers, dict) else list(schedulers)
