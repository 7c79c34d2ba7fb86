"""Optimizer groups and schedule of the encoder-only transformers (EoMT, VidEoMT, LVMT)."""
import re
from typing import Any, Dict, List, Optional, Sequence

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from torch import nn

from mmvis.errors import InputError
from mmvis.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS, PARAM_SCHEDULERS

_BLOCK = re.compile(r'blocks\.(\d+)\.')


def layer_decay_groups(model: nn.Module, lr: float, weight_decay: float, decay: float, query_blocks_decay: bool = True
                       ) -> List[Dict[str, Any]]:
    """One group a parameter, the last parameter first, those of the vision transformer before all others.

    Block i of L of the transformer learns with ``lr * decay ** (L - 1 - i)``, what stands before the blocks as the
    first one, the last norm and all outside the transformer with ``lr``. Nothing is left out of the weight decay.

    Args:
        query_blocks_decay: False: the blocks with queries learn with ``lr`` (EoMT on DINOv3).
    """
    num_blocks = len(model.backbone.blocks)
    first_full = num_blocks if query_blocks_decay else model.first_query_block
    inside, outside = [], []
    for name, parameter in reversed(list(model.named_parameters())):
        if not parameter.requires_grad:
            continue
        is_inside = name.startswith('backbone.')
        rate = lr
        if is_inside and not name.startswith('backbone.norm.'):
            block = _BLOCK.search(name)
            index = int(block[1]) if block else 0
            rate = lr if block and index >= first_full else lr * decay ** (num_blocks - 1 - index)
        group = dict(params=[parameter], name=name, lr=rate, weight_decay=weight_decay, late=is_inside)
        (inside if is_inside else outside).append(group)
    return inside + outside


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayGroups(DefaultOptimWrapperConstructor):
    """Makes the groups of ``layer_decay_groups``; lr and weight decay are those of the optimizer.

    ``paramwise_cfg``: ``decay`` (VidEoMT 0.6, EoMT 0.8) and ``query_blocks_decay``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None) -> None:
        super().__init__(optim_wrapper_cfg, {})
        self.settings = dict(paramwise_cfg or {})
        unknown = self.settings.keys() - {'decay', 'query_blocks_decay'}
        if unknown or 'decay' not in self.settings:
            raise InputError(f'LayerDecayGroups: paramwise_cfg needs decay and may have query_blocks_decay, not '
                             f'{self.settings}.')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        model = getattr(model, 'module', model)
        optimizer = dict(self.optimizer_cfg)
        optimizer['params'] = layer_decay_groups(model, optimizer['lr'], optimizer.get('weight_decay', 0.),
                                                 **self.settings)
        return OPTIM_WRAPPERS.build({**self.optim_wrapper_cfg, 'optimizer': OPTIMIZERS.build(optimizer)})


@PARAM_SCHEDULERS.register_module()
class TwoStagePoly(_ParamScheduler):
    """Linear warm-up, then a polynomial fall to 0; the transformer begins when the rest is warm.

    Of groups that are not ``late`` (see ``layer_decay_groups``) the factor is s / w0 in the first w0 steps, of late
    ones 0 in these and (s - w0) / w1 in the w1 steps after them. Then both fall as (1 - share of the way) ** power.

    Args:
        warmup: (w0, w1) in steps.
        end: number of steps of the training.
    """

    def __init__(self, optimizer: Any, end: int, warmup: Sequence[int] = (500, 1000), power: float = 0.9,
                 begin: int = 0, last_step: int = -1, by_epoch: bool = False, verbose: bool = False) -> None:
        if len(warmup) != 2 or min(warmup) < 0 or not sum(warmup) < end:
            raise InputError(f'TwoStagePoly: warmup is {tuple(warmup)!r} and end {end}; it needs two numbers of steps, '
                             'together fewer than end.')
        self.warmup, self.power, self.num_steps = tuple(warmup), power, end
        self.late = [bool(group.get('late')) for group in optimizer.param_groups]
        # one step more: after the last one the rate is 0
        super().__init__(optimizer, 'lr', begin, end + 1, last_step, by_epoch, verbose)

    def factor(self, step: int, late: bool) -> float:
        """What the learning rate is multiplied by in a step, counted from 0."""
        first = self.warmup[0] if late else 0
        end = first + self.warmup[int(late)]
        if step < first:
            return 0.
        if step < end:
            return (step - first) / (end - first)
        return (1 - (step - end) / (self.num_steps - end)) ** self.power

    def _get_value(self) -> List[float]:
        return [base * self.factor(self.last_step, late) for base, late in zip(self.base_values, self.late)]
