"""Hooks that a training cannot do without."""
import math
import os
from collections import deque
from pathlib import Path
from typing import Any, Dict, Optional

from mmengine.dist import all_reduce, is_main_process
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmvis.datasets import JointDataset
from mmvis.errors import InputError
from mmvis.registry import HOOKS

from .checkpoint import write_last_checkpoint

_MAX_NAMES = 8


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's checkpoint hook, with the old file deleted only when the new one stands.

    mmengine's own deletes first, so that a kill in between costs the only checkpoint there is.
    """

    _default_greater_keys = [*CheckpointHook._default_greater_keys, 'AP', 'AR']

    def before_train(self, runner: Runner) -> None:
        # as mmengine's, without the deprecated file clients: checkpoints are local files
        work_dir = runner.work_dir
        self.out_dir = work_dir if self.out_dir is None else os.path.join(self.out_dir, Path(work_dir).name)
        Path(self.out_dir).mkdir(parents=True, exist_ok=True)
        self.file_backend = get_file_backend(self.out_dir)
        runner.logger.info(f'Checkpoints go to {self.out_dir}.')
        if self.save_best and len(self.key_indicators) == 1:
            self.best_ckpt_path = self._own(runner.message_hub.get_info('best_ckpt'))
        elif self.save_best:
            self.best_ckpt_path_dict = {key: self._own(runner.message_hub.get_info(f'best_ckpt_{key}'))
                                        for key in self.key_indicators}
        self.keep_ckpt_ids = deque(runner.message_hub.get_info('keep_ckpt_ids', []))

    def _own(self, path: Optional[str]) -> Optional[str]:
        """The best file so far, which goes when there is a better one: by its name, for the path may be any that stands
        in the file that is resumed."""
        name = Path(path or '').name
        return str(Path(self.out_dir) / name) if name.startswith('best_') and name.endswith('.pth') else None

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: Dict[str, Any]) -> None:
        outdated = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
            while len(self.keep_ckpt_ids) > self.max_keep_ckpts:
                outdated.append(self.keep_ckpt_ids.popleft())
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir) / filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(self.out_dir, filename, save_optimizer=self.save_optimizer,
                               save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch)
        if is_main_process():
            write_last_checkpoint(runner.work_dir, self.last_ckpt)
            for old in outdated:
                (Path(self.out_dir) / self.filename_tmpl.format(old)).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Runner, metrics: Dict[str, Any]) -> None:
        if not self.save_best or len(self.key_indicators) > 1:
            return super()._save_best_checkpoint(runner, metrics)
        previous, self.best_ckpt_path = self.best_ckpt_path, None  # hidden from mmengine, which would delete it first
        super()._save_best_checkpoint(runner, metrics)
        if self.best_ckpt_path is None:
            self.best_ckpt_path = previous
        elif previous not in (None, self.best_ckpt_path) and is_main_process():
            Path(previous).unlink(missing_ok=True)


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops the training at the first loss, or norm of the gradient, that is not finite.

    It runs before the checkpoint of the iteration is written, so that no checkpoint holds the ruined weights.
    """
    priority = 'NORMAL'

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Optional[Dict[str, Any]] = None) -> None:
        values = {name: value.item() for name, value in (outputs or {}).items() if 'loss' in name}
        scaler = getattr(runner.optim_wrapper, 'scaler', None)
        if scaler is None or not scaler.is_enabled():  # a loss scaler itself leaves out steps with infinite gradients
            norm = runner.message_hub.log_scalars.get('train/grad_norm')
            if norm is not None:
                values['grad_norm'] = float(norm.current())
        bad = [f'{name} is {value}' for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise InputError(f'Training stopped at iteration {runner.iter + 1}: {", ".join(bad)}. The learning rate '
                             'may be too high, the warm-up too short or the annotations wrong; the checkpoints written '
                             'so far are not affected.')


@HOOKS.register_module()
class DamagedFramesHook(Hook):
    """Counts, at the end of a training or a test, the damaged frames that ``damaged_frames='use'`` has let pass."""
    priority = 'LOW'

    def after_train(self, runner: Runner) -> None:
        self._count(runner, runner.train_loop.dataloader.dataset)

    def after_val(self, runner: Runner) -> None:
        self._count(runner, runner.val_loop.dataloader.dataset)

    def after_test(self, runner: Runner) -> None:
        self._count(runner, runner.test_loop.dataloader.dataset)

    def _count(self, runner: Runner, dataset: Any) -> None:
        for part in dataset.datasets if isinstance(dataset, JointDataset) else [dataset]:
            if getattr(part, 'used_damaged', None) is None:
                continue
            flags = part.used_damaged.clone()
            all_reduce(flags, 'max')  # each process has seen frames of its own
            damaged = flags.nonzero().flatten().tolist()
            if damaged:
                names = ', '.join(part.frame_path(frame) for frame in damaged[:_MAX_NAMES])
                more = f' and {len(damaged) - _MAX_NAMES} more' if len(damaged) > _MAX_NAMES else ''
                runner.logger.warning(f'{part.ann_file}: damaged frames that were used: {len(damaged)} ({names}{more}).')
