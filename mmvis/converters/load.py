"""Recognising the layout of a checkpoint and loading it with an account of every tensor."""
import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from mmvis.errors import InputError

from . import (
    backbone,
    condinst_iai,
    dino,
    ifc,
    instanceformer,
    lvmt,
    mask2former,
    masktrackrcnn,
    memcnp,
    sipmask,
    videomt,
)
from .checkpoint_file import check_tensors, is_finite, not_finite, read_checkpoint
from .layout import Layout, StateDict

#: Tried in this order; names that are the model's own come last.
LAYOUTS: Tuple[Layout, ...] = (*masktrackrcnn.LAYOUTS, *ifc.LAYOUTS, *instanceformer.LAYOUTS, *videomt.LAYOUTS, *lvmt.LAYOUTS,
                               *mask2former.LAYOUTS, *dino.LAYOUTS, *memcnp.LAYOUTS, *sipmask.LAYOUTS, *condinst_iai.LAYOUTS,
                               *backbone.LAYOUTS)
#: What data-parallel wrappers put in front of every key, and what compiled and sharded modules put into keys.
_IN_FRONT, _INSIDE = 'module.', ('_orig_mod.', '_fsdp_wrapped_module.', '_checkpoint_wrapped_module.')


@dataclass
class LoadReport:
    """What became of the tensors of a checkpoint.

    Attributes:
        source: name of the layout; mapped: keys of the model that got a value;
        dropped: key of the file -> why it was left out on purpose or for its shape;
        missing: keys of the model without a value (batch norm's ``num_batches_tracked`` does not count);
        unexpected: keys of the converted file that the model lacks;
        dataset_meta: what the training wrote of its data (``classes`` and ``category_ids`` by label, ...); empty if
            the file tells nothing of use.
    """
    source: str
    mapped: List[str] = field(default_factory=list)
    dropped: Dict[str, str] = field(default_factory=dict)
    missing: List[str] = field(default_factory=list)
    unexpected: List[str] = field(default_factory=list)
    dataset_meta: Dict[str, Any] = field(default_factory=dict)

    def reshaped(self) -> List[str]:
        """Keys that were left out because their tensors have another shape in the model."""
        return [key for key, why in self.dropped.items() if why.startswith('shape ')]

    def __str__(self) -> str:
        lines = [f'  layout: {self.source}', f'  mapped: {len(self.mapped)} tensors']
        dropped = [f'{key} ({why})' for key, why in self.dropped.items()]
        for name, entries in (('dropped', dropped), ('missing', self.missing), ('not in the model', self.unexpected)):
            lines.append(f'  {name}: {len(entries)}' + (': ' + _some(entries, 8) if entries else ''))
        return '\n'.join(lines)


def _some(entries: Sequence[str], num: int) -> str:
    more = f', and {len(entries) - num} more' if len(entries) > num else ''
    return ', '.join(entries[:num]) + more


def find_state_dict(checkpoint: Dict[str, Any]) -> StateDict:
    """The tensors of a checkpoint by key, without what wrappers put into the keys (``module.``, ``_orig_mod.``).

    Raises:
        ValueError: a key is no text, or a tensor has no values that a model could take.
    """
    for name in ('state_dict', 'model'):
        if isinstance(checkpoint.get(name), dict):
            checkpoint = checkpoint[name]
            break
    tensors = {key: value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    check_tensors(tensors)
    names = {key: key for key in tensors}
    for mark in _INSIDE:
        names = {key: name.replace(mark, '') for key, name in names.items()}
    while tensors and all(name.startswith(_IN_FRONT) for name in names.values()):
        names = {key: name[len(_IN_FRONT):] for key, name in names.items()}
    if len({*names.values()}) < len(tensors):
        raise InputError('some of its keys differ in what a wrapper puts into them only (_orig_mod.).')
    return {names[key]: value for key, value in tensors.items()}


def dataset_meta(checkpoint: Dict[str, Any]) -> Dict[str, Any]:
    """What a training wrote into a checkpoint of its data; see LoadReport."""
    meta = checkpoint.get('meta')
    found = meta.get('dataset_meta') if isinstance(meta, dict) else None
    if not isinstance(found, dict):
        return {}
    classes, ids = found.get('classes'), found.get('category_ids')
    of_use = (isinstance(classes, (list, tuple)) and all(isinstance(name, str) for name in classes)
              and isinstance(ids, (list, tuple)) and all(type(number) is int for number in ids)
              and len(classes) == len(ids))
    return found if of_use else {}


def convert_state_dict(state_dict: StateDict, model: nn.Module) -> Tuple[StateDict, LoadReport]:
    """Tensors under the keys of the model, and the account. Tensors of another shape than the model's are dropped.

    Raises:
        ValueError: the layout is not known, or the file is one that must not be used.
    """
    own = model.state_dict()
    layout = next((x for x in LAYOUTS if x.matches(state_dict.keys(), own.keys())), None)
    if layout is not None:
        try:
            converted, dropped = layout.convert(state_dict, model)
        except (IndexError, RuntimeError) as error:  # of tensors that are reordered
            raise InputError(f'its keys are those of {layout.name}, but the shapes of its tensors are not: '
                             f'{" ".join(str(error).split())[:160]}') from error
    elif any(key in own for key in state_dict):
        layout, converted, dropped = Layout('mmvis', None, None), dict(state_dict), {}
    else:
        keys = _some(list(state_dict), 3) or '(no tensor at all)'
        raise InputError(f'its layout is not known: its keys are like {keys}, those of {type(model).__name__} like '
                         f'{_some(list(own), 3)}.')
    report = LoadReport(layout.name, dropped=dict(dropped))
    fitting = {}
    for key, value in converted.items():
        if key not in own:
            report.unexpected.append(key)
        elif value.shape != own[key].shape:
            report.dropped[key] = f'shape {list(value.shape)}, the model has {list(own[key].shape)}'
        elif value.is_complex() and not own[key].is_complex():
            raise InputError(f'its tensor {key} is complex.')
        else:
            fitting[key] = value
    report.mapped = list(fitting)
    report.missing = [key for key in own if key not in fitting and not key.endswith('num_batches_tracked')]
    return fitting, report


def _check_finite(state_dict: StateDict, model: nn.Module) -> None:
    own = model.state_dict()
    for key, value in state_dict.items():
        if not is_finite(value) and is_finite(own[key]):  # a mask may be infinite from the start
            raise InputError(not_finite(key))


def load_checkpoint(model: nn.Module, path: Union[str, os.PathLike], strict: bool = False,
                    logger: Optional[Any] = None) -> LoadReport:
    """Load a checkpoint of any known layout into a model and print what was mapped, dropped and missing.

    Args:
        strict: raise ValueError unless every tensor of the model and of the file found its place.
        logger: as mmengine's ``print_log`` takes it; ``None`` prints.

    Raises:
        InputError: the file is none that the model can take its values from, or one of them is NaN or infinite.
    """
    if is_model_wrapper(model):
        model = model.module
    checkpoint = read_checkpoint(path)
    try:
        state_dict, report = convert_state_dict(find_state_dict(checkpoint), model)
        _check_finite(state_dict, model)
    except InputError as error:
        raise InputError(f'Checkpoint {path}: {error}') from error
    report.dataset_meta = dataset_meta(checkpoint)
    if strict and (report.missing or report.unexpected or report.reshaped()):
        raise InputError(f'Checkpoint {path} does not fit {type(model).__name__}:\n{report}')
    try:
        model.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:  # a type that PyTorch keeps but does not compute with
        if 'While copying the parameter' not in str(error):
            raise
        reason = ' '.join(str(error).split())
        raise InputError(f'Checkpoint {path} cannot be copied into {type(model).__name__}: {reason[:300]}') from error
    print_log(f'Loaded {path}\n{report}', logger=logger)
    return report
