"""Reading a checkpoint safely, recognising its layout, loading it with an account of every tensor."""
import argparse
import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from mmvis.errors import InputError, InputMissingError

from . import backbone, condinst_iai, ifc, instanceformer, masktrackrcnn, memcnp, sipmask
from .layout import Layout, StateDict

#: Tried in this order; names that are the model's own come last.
LAYOUTS: Tuple[Layout, ...] = (*masktrackrcnn.LAYOUTS, *ifc.LAYOUTS, *instanceformer.LAYOUTS, *memcnp.LAYOUTS,
                               *sipmask.LAYOUTS, *condinst_iai.LAYOUTS, *backbone.LAYOUTS)
#: Trainings of the DETR family keep their options (``args``) beside the weights, in a record of plain values.
_RECORDS = [argparse.Namespace]


@dataclass
class LoadReport:
    """What became of the tensors of a checkpoint.

    Attributes:
        source: name of the layout; mapped: keys of the model that got a value;
        dropped: key of the file -> why it was left out on purpose or for its shape;
        missing: keys of the model without a value (batch norm's ``num_batches_tracked`` does not count);
        unexpected: keys of the converted file that the model lacks.
    """
    source: str
    mapped: List[str] = field(default_factory=list)
    dropped: Dict[str, str] = field(default_factory=dict)
    missing: List[str] = field(default_factory=list)
    unexpected: List[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f'  layout: {self.source}', f'  mapped: {len(self.mapped)} tensors']
        dropped = [f'{key} ({why})' for key, why in self.dropped.items()]
        for name, entries in (('dropped', dropped), ('missing', self.missing), ('not in the model', self.unexpected)):
            lines.append(f'  {name}: {len(entries)}' + (': ' + _some(entries, 8) if entries else ''))
        return '\n'.join(lines)


def _some(entries: Sequence[str], num: int) -> str:
    more = f', and {len(entries) - num} more' if len(entries) > num else ''
    return ', '.join(entries[:num]) + more


def read_checkpoint(path: Union[str, os.PathLike]) -> Dict[str, Any]:
    """The contents of a checkpoint file on the CPU; only tensors, plain Python values and argparse's record of options
    are accepted.

    Raises:
        FileNotFoundError: no such file. ValueError: not a checkpoint, cut off, or it holds other Python objects.
    """
    if not os.path.isfile(path):
        raise InputMissingError(f'Checkpoint {path} does not exist.')
    try:
        with torch.serialization.safe_globals(_RECORDS):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:            # torch raises many kinds here; each means that the file is of no use
        if 'Unsupported global' in str(error) or 'weights_only' in str(error) and 'GLOBAL' in str(error):
            raise InputError(f'Checkpoint {path} holds Python objects beside tensors and plain values; loading those '
                             'could run foreign code, so it is refused. Save its state_dict alone and load that.'
                             ) from error
        reason = str(error).strip().split('\n')[0].split('. ')[0]         # torch's first sentence says all
        raise InputError(f'{path} is not a checkpoint of PyTorch, or it is cut off or damaged '
                         f'({reason[:160]}).') from error
    if not isinstance(content, dict):
        raise InputError(f'Checkpoint {path} holds a {type(content).__name__}, not a dict of tensors.')
    return content


def find_state_dict(checkpoint: Dict[str, Any]) -> StateDict:
    """The tensors of a checkpoint by key, without the ``module.`` that a data-parallel wrapper puts in front."""
    for name in ('state_dict', 'model'):
        if isinstance(checkpoint.get(name), dict):
            checkpoint = checkpoint[name]
            break
    tensors = {key: value for key, value in checkpoint.items() if isinstance(value, Tensor)}
    if tensors and all(key.startswith('module.') for key in tensors):
        tensors = {key[len('module.'):]: value for key, value in tensors.items()}
    return tensors


def convert_state_dict(state_dict: StateDict, model: nn.Module) -> Tuple[StateDict, LoadReport]:
    """Tensors under the keys of the model, and the account. Tensors of another shape than the model's are dropped.

    Raises:
        ValueError: the layout is not known, or the file is one that must not be used.
    """
    own = model.state_dict()
    layout = next((x for x in LAYOUTS if x.matches(state_dict.keys(), own.keys())), None)
    if layout is not None:
        converted, dropped = layout.convert(state_dict, model)
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
        else:
            fitting[key] = value
    report.mapped = list(fitting)
    report.missing = [key for key in own if key not in fitting and not key.endswith('num_batches_tracked')]
    return fitting, report


def load_checkpoint(model: nn.Module, path: Union[str, os.PathLike], strict: bool = False,
                    logger: Optional[Any] = None) -> LoadReport:
    """Load a checkpoint of any known layout into a model and print what was mapped, dropped and missing.

    Args:
        strict: raise ValueError unless every tensor of the model and of the file found its place.
        logger: as mmengine's ``print_log`` takes it; ``None`` prints.
    """
    if is_model_wrapper(model):
        model = model.module
    try:
        state_dict, report = convert_state_dict(find_state_dict(read_checkpoint(path)), model)
    except ValueError as error:
        message = str(error)
        raise InputError(message if str(path) in message else f'Checkpoint {path}: {message}') from error
    if strict and (report.missing or report.unexpected or any('shape' in why for why in report.dropped.values())):
        raise InputError(f'Checkpoint {path} does not fit {type(model).__name__}:\n{report}')
    model.load_state_dict(state_dict, strict=False)
    print_log(f'Loaded {path}\n{report}', logger=logger)
    return report
