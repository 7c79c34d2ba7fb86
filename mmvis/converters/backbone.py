"""ImageNet weights of a backbone alone: torchvision's names (conv1, bn1, layer1..4, fc)."""
from typing import Any, Collection, Dict, Optional, Tuple

from .layout import Layout, StateDict

_MARK = 'layer1.0.conv1.weight'


def _prefix(model_keys: Collection[str]) -> Optional[str]:
    """Where the model keeps its ResNet, 'backbone.' as a rule."""
    return next((key[:-len(_MARK)] for key in model_keys if key.endswith('.' + _MARK)), None)


def _matches(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _MARK in keys and 'conv1.weight' in keys and _prefix(model_keys) is not None


def _convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    prefix = _prefix(model.state_dict())
    dropped = {key: 'ImageNet classifier' for key in state_dict if key.startswith('fc.')}
    return {prefix + key: value for key, value in state_dict.items() if key not in dropped}, dropped


LAYOUTS = (Layout('ResNet of torchvision, backbone only', _matches, _convert),)
