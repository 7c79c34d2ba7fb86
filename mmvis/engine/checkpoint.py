"""Checkpoints of a training: what they hold, how they are written, which one a resumed run takes.

A file holds tensors and plain Python values only, so that it loads with ``torch.load(..., weights_only=True)`` and
nothing has to be allowed in addition. A kill or a full disk leaves the old file or the new one, never half of one.
"""
import os
from collections import OrderedDict
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Optional

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmvis.converters import check_weights, read_checkpoint
from mmvis.errors import InputError, InputFileError
from mmvis.structures.output_file import open_output, write_output

from .history import HISTORY_LENGTH

#: Names that every checkpoint of a training has; a file of weights alone lacks some.
TRAINING_KEYS = ('meta', 'state_dict', 'optimizer', 'rng_states', 'message_hub')
# set anew by every run
_RUN_INFO = ('cfg', 'experiment_name', 'mmengine_version', 'dataset_meta', 'loop_stage', 'eta')


def to_plain(value: Any) -> Any:
    """Copy of a nested value with tensors on the CPU and plain Python values only.

    NumPy arrays become tensors and NumPy scalars Python numbers; an ``OrderedDict`` keeps its ``_metadata`` (the layer
    versions of a state dict).

    Raises:
        TypeError: a value of another type, by the path to it.
    """
    return _to_plain(value, 'checkpoint')


def _to_plain(value: Any, path: str) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        plain = {_to_plain(key, path): _to_plain(item, f'{path}[{key!r}]') for key, item in value.items()}
        if isinstance(value, OrderedDict):
            plain = OrderedDict(plain)
            if hasattr(value, '_metadata'):
                plain._metadata = _to_plain(value._metadata, f'{path}._metadata')
        return plain
    if isinstance(value, (list, tuple)):
        items = [_to_plain(item, f'{path}[{index}]') for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Path):
        return str(value)
    for plain_type in (bool, int, float, str):
        if isinstance(value, plain_type):
            return plain_type(value)
    if value is None:
        return None
    raise TypeError(f'{path} is a {type(value).__name__}: a checkpoint holds tensors and plain Python values only.')


def write_checkpoint(checkpoint: Dict[str, Any], path: str) -> None:
    """Write a checkpoint and wait until it is on the disk.

    Raises:
        InputFileError: the disk is full, or the folder cannot be written; the sentence says which checkpoint is there.
    """
    plain = to_plain(checkpoint)
    try:
        with open_output(path, 'wb', durable=True) as file:
            target = _Target(file)
            try:
                torch.save(plain, target)
            except RuntimeError as error:
                raise target.error or error
    except InputFileError as error:
        kept = find_checkpoints(os.path.dirname(path))
        rest = f'{kept[0]} is whole: the training can go on from it (--resume)' if kept else 'No checkpoint is there'
        raise InputFileError(f'{error} {rest}.') from error


class _Target:
    """A file for ``torch.save`` whose OSError is kept: torch's writer raises a RuntimeError that does not tell of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: Optional[OSError] = None

    def write(self, data) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def write_last_checkpoint(work_dir: str, path: str) -> None:
    """Note in ``work_dir/last_checkpoint`` which file is the latest."""
    write_output(Path(work_dir) / 'last_checkpoint', str(path))


def find_checkpoints(work_dir: str) -> List[Path]:
    """Checkpoints of a work directory, the latest first: the one noted in ``last_checkpoint``, then by age."""
    work_dir = Path(work_dir)
    files = [*work_dir.glob('epoch_*.pth'), *work_dir.glob('iter_*.pth')]
    files.sort(key=lambda file: file.stat().st_mtime_ns, reverse=True)
    note = work_dir / 'last_checkpoint'
    if note.is_file():
        noted = Path(note.read_text().strip())
        for file in (work_dir / noted.name, noted):  # first by its name: the work directory may have been moved
            if file.is_file():
                return [file, *(other for other in files if other != file)]
    return files


def read_training_state(path: str) -> Dict[str, Any]:
    """Content of a checkpoint of a training, tensors on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken, or holds weights but no state of a training.
    """
    checkpoint = read_checkpoint(path)
    missing = [key for key in TRAINING_KEYS if key not in checkpoint]
    if missing:
        raise InputError(f'{path} has no {", ".join(missing)}: it holds weights but not the state of a training, which '
                         'cannot go on from it. Start a new training from its weights with --load-from.')
    odd = _odd_part(checkpoint)
    if odd is not None:
        raise InputError(f'{path} cannot be resumed: its {odd}.')
    try:
        check_weights(checkpoint['state_dict'])
    except InputError as error:
        raise InputError(f'{path} cannot be resumed: {error}') from error
    return checkpoint


def _odd_part(checkpoint: Dict[str, Any]) -> Optional[str]:
    """What in a checkpoint is not as a training writes it; None if all is."""
    meta, hub = checkpoint['meta'], checkpoint['message_hub']
    for name, kind in dict(meta=dict, state_dict=dict, optimizer=dict, rng_states=list, message_hub=dict).items():
        if not isinstance(checkpoint[name], kind):
            return f'{name} is a {type(checkpoint[name]).__name__}, not a {kind.__name__}'
    for name, limit in dict(epoch=2**63, iter=2**63, iters_per_epoch=2**63, seed=2**32).items():
        if type(meta.get(name)) is not int or not 0 <= meta[name] < limit:
            return f'meta.{name} is {str(meta.get(name))[:80]}, not a number from 0 on'
    curves, info = hub.get('curves'), hub.get('info')
    if not isinstance(curves, dict) or not isinstance(info, dict):
        return 'message_hub has no curves or no info'
    for name, curve in curves.items():
        parts = [curve.get(part) for part in ('values', 'counts')] if isinstance(curve, dict) else []
        if not (isinstance(name, str) and len(parts) == 2
                and all(isinstance(part, torch.Tensor) and part.dim() == 1 for part in parts)
                and len(parts[0]) == len(parts[1])):
            return f'message_hub.curves has {str(name)[:80]}, which is no curve'
    for name, value in info.items():
        if not isinstance(name, str):
            return f'message_hub.info has the key {str(name)[:80]}, which is no text'
        fits = (isinstance(value, list) and all(type(step) is int for step in value) if name == 'keep_ckpt_ids' else
                isinstance(value, (int, float)) if name.startswith('best_score') else
                value is None or isinstance(value, str) if name.startswith(('best_ckpt', 'last_ckpt')) else True)
        if not fits:
            return f'message_hub.info.{name} is {str(value)[:80]}'
    return None


@contextmanager
def putting_back(path: str, part: str) -> Iterator[None]:
    """Tell in a sentence that a part of a checkpoint does not fit what the config builds.

    Raises:
        InputError: the block failed as libraries fail that are given a state of another thing.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = ' '.join(str(error).split())
        raise InputError(f'{path} cannot be resumed: its {part} does not fit this config, or is damaged '
                         f'({reason[:200]}).') from error


def pack_message_hub(hub: MessageHub) -> Dict[str, Any]:
    """What mmengine's message hub knows: the ends of the curves, the best score, the kept checkpoints ...

    A hook may have put anything there: what is not a plain value is left out.
    """
    state = hub.state_dict()
    curves = {}
    for name, history in state['log_scalars'].items():
        values, counts = history.data
        curves[name] = dict(values=values[-HISTORY_LENGTH:], counts=counts[-HISTORY_LENGTH:])
    info = {}
    for name, value in state['runtime_info'].items():
        if name not in _RUN_INFO:
            with suppress(TypeError):
                info[name] = to_plain(value)
    return dict(curves=curves, info=info)


def restore_message_hub(hub: MessageHub, state: Dict[str, Any]) -> None:
    """Undo :func:`pack_message_hub`."""
    curves = {name: HistoryBuffer(curve['values'].numpy(), curve['counts'].numpy())
              for name, curve in state['curves'].items()}
    hub.load_state_dict(dict(log_scalars=curves, runtime_info=state['info'],
                             resumed_keys=dict.fromkeys([*curves, *state['info']], True)))
