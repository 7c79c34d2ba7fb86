"""Mixed precision training on GPUs and CPUs."""
import logging
from contextlib import contextmanager
from typing import Any, Dict, Optional, Union

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmvis.errors import InputError
from mmvis.models.layers.precision import set_float32
from mmvis.ops.onednn import NO_BFLOAT16, cpu_has_bfloat16
from mmvis.registry import OPTIM_WRAPPERS

DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16}


@OPTIM_WRAPPERS.register_module()
class MixedPrecisionOptimWrapper(OptimWrapper):
    """Runs the forward pass under autocast; weights and optimizer stay float32.

    mmengine's ``AmpOptimWrapper`` refuses to run without a GPU; this one runs bfloat16 on a CPU too.

    Args:
        dtype: ``'bfloat16'`` or ``'float16'``. By default bfloat16, which needs no loss scale, on the CPUs and GPUs
            that have it, float16 on the other GPUs, and float32 on the other CPUs, with a warning.
        loss_scale: ``'dynamic'``, or the options of ``torch.amp.GradScaler``. Only float16 has a loss scale.
        kwargs: arguments of mmengine's ``OptimWrapper`` (optimizer, clip_grad, accumulative_counts).

    Raises:
        ValueError: an unknown dtype, float16 on a CPU, bfloat16 on a GPU without it.
    """

    def __init__(self, dtype: Optional[str] = None, loss_scale: Union[str, Dict[str, Any]] = 'dynamic',
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.device_type = self.optimizer.param_groups[0]['params'][0].device.type
        self.dtype = _pick_dtype(dtype, self.device_type)
        options = {} if loss_scale == 'dynamic' else dict(loss_scale)
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=self.dtype == torch.float16, **options)

    def backward(self, loss: Tensor, **kwargs) -> None:
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs) -> None:
        if self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def state_dict(self) -> Dict[str, Any]:
        return {**super().state_dict(), 'loss_scaler': self.scaler.state_dict()}

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        state_dict = dict(state_dict)
        scaler_state = state_dict.pop('loss_scaler', None)
        if scaler_state:  # empty when the checkpoint comes from a bfloat16 or float32 training
            self.scaler.load_state_dict(scaler_state)
        super().load_state_dict(state_dict)

    @contextmanager
    def optim_context(self, model: nn.Module):
        mixed = self.dtype != torch.float32
        with super().optim_context(model), torch.autocast(self.device_type, self.dtype if mixed else None, mixed):
            yield


def use_precision(precision: str) -> None:
    """What a training of this process computes float32 with, 'fp32' or 'tf32': see ``set_float32``."""
    set_float32(precision, get_device())


def _pick_dtype(name: Optional[str], device_type: str) -> torch.dtype:
    has_bfloat16 = device_type == 'cpu' or torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == 'cpu' and name in (None, 'bfloat16') and not cpu_has_bfloat16():
        advice = 'mixed precision is off' if name is None else 'leave out optim_wrapper.dtype'
        print_log(f'{NO_BFLOAT16}: {advice}.', logger='current', level=logging.WARNING)
        return torch.float32 if name is None else DTYPES[name]
    if name is None:
        return torch.bfloat16 if has_bfloat16 else torch.float16
    if name not in DTYPES:
        raise InputError(f'optim_wrapper.dtype is {name!r}: mixed precision takes bfloat16 or float16.')
    if name == 'float16' and device_type == 'cpu':
        raise InputError('optim_wrapper.dtype is float16, which a CPU is not trained in: take bfloat16.')
    if name == 'bfloat16' and not has_bfloat16:
        raise InputError('optim_wrapper.dtype is bfloat16, which this GPU does not have: take float16.')
    return DTYPES[name]
