"""Learning rate and schedules of a training that goes on with another number of clips a step."""
import math
from typing import Any, Dict, List, Optional, Sequence

from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

#: What of the state of a schedule moves; the rest is its config.
_MOVING = 'last_step', '_global_step', '_last_value', 'base_values'


def restore_schedule(scheduler: _ParamScheduler, state: Dict[str, Any], stretch: float = 1.) -> None:
    """Put a schedule back where it was.

    Args:
        scheduler: as the config builds it.
        state: its ``state_dict`` of the checkpoint.
        stretch: iterations of an epoch now / then, for one that is given in epochs and counts iterations
            (``convert_to_iter_based``): its length is that of now, and the same part of it is done.
    """
    if stretch == 1:
        return scheduler.load_state_dict(state)
    now = scheduler.state_dict()
    scheduler.load_state_dict({**now, **{name: state[name] for name in _MOVING}})
    scheduler.last_step = round(state['last_step'] * stretch)
    scheduler._global_step = scheduler.last_step + state['_global_step'] - state['last_step']


def base_rates(optim_wrapper: OptimWrapper) -> List[float]:
    """The learning rate of each group, before schedules."""
    return [group.get('initial_lr', group['lr']) for group in optim_wrapper.optimizer.param_groups]


def follow_rate(wanted: Sequence[float], optim_wrapper: OptimWrapper, schedulers: Sequence[_ParamScheduler],
                scaled: bool) -> Optional[str]:
    """Give an optimizer that was put back from a checkpoint, and its schedules, the learning rate of this training.

    Args:
        wanted: ``base_rates`` by the config, before the checkpoint was read.
        optim_wrapper, schedulers: as the checkpoint has them; changed.
        scaled: whether the rate is to follow the clips a step; else that of the checkpoint goes on.

    Returns:
        What is to be said; None where both rates are one.
    """
    factors = [new / old for new, old in zip(wanted, base_rates(optim_wrapper)) if old]
    if not factors or all(math.isclose(factor, 1, rel_tol=1e-6) for factor in factors):
        return None
    factor = factors[0]
    if not all(math.isclose(other, factor, rel_tol=1e-6) for other in factors):
        return ('The learning rates of the config have changed, each in its own way, since the checkpoint was written: '
                'those of the checkpoint go on.')
    if not scaled:
        return (f'The learning rate of the checkpoint goes on, which is {1 / factor:g} times that of this config: it was '
                'scaled, or the config was changed. With --auto-scale-lr it follows the clips a step.')
    for group in optim_wrapper.param_groups:
        for name in ('lr', 'initial_lr'):
            if name in group:
                group[name] *= factor
    for scheduler in schedulers:
        if scheduler.param_name == 'lr':
            scheduler.base_values = [value * factor for value in scheduler.base_values]
            scheduler._last_value = [value * factor for value in scheduler._last_value]
    return f'The learning rate of the checkpoint was multiplied by {factor:g}, to fit the clips a step of now.'
