"""ImageNet weights of a backbone alone: ResNet under torchvision's names (conv1, bn1, layer1..4, fc), Swin under
those of github.com/microsoft/Swin-Transformer (patch_embed, layers, norm, head)."""
from typing import Any, Collection, Dict, Optional, Tuple

from mmdet.models.backbones.swin import swin_converter

from .layout import Layout, StateDict

_MARK = 'layer1.0.conv1.weight'
_SWIN, _OUR_SWIN = 'layers.0.blocks.0.attn.qkv.weight', 'stages.0.blocks.0.attn.w_msa.qkv.weight'


def resnet_prefix(model_keys: Collection[str]) -> Optional[str]:
    """Where the model keeps its ResNet, 'backbone.' as a rule."""
    return next((key[:-len(_MARK)] for key in model_keys if key.endswith('.' + _MARK)), None)


def _matches(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _MARK in keys and 'conv1.weight' in keys and resnet_prefix(model_keys) is not None


def _convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    prefix = resnet_prefix(model.state_dict())
    dropped = {key: 'ImageNet classifier' for key in state_dict if key.startswith('fc.')}
    return {prefix + key: value for key, value in state_dict.items() if key not in dropped}, dropped


def convert_swin(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    """From the official names of a Swin transformer (without a prefix) to those of mmdet's, where the model keeps it.

    The official patch merging reads its four pixels column by column, mmdet's row by row: weights are reordered.
    """
    own = model.state_dict()
    prefix = _swin_prefix(own)
    kept, dropped = {}, {}
    for key, value in state_dict.items():
        if key.endswith(('relative_position_index', 'attn_mask')):
            dropped[key] = 'follows from the window size'
        elif key.startswith(('head.', 'norm.')):
            dropped[key] = 'ImageNet classifier'
        elif key.startswith('norm') and f'{prefix}{key}' not in own:
            dropped[key] = 'norm of a stage whose output is not used'
        else:
            kept[key] = value
    indices = {key: value for key, value in own.items() if key.endswith('relative_position_index')}
    swin = {prefix + key.removeprefix('backbone.'): value for key, value in swin_converter(kept).items()}
    return {**swin, **indices}, dropped


def _swin_prefix(model_keys: Collection[str]) -> Optional[str]:
    """Where the model keeps its Swin transformer, 'backbone.' as a rule."""
    return next((key[:-len(_OUR_SWIN)] for key in model_keys if key.endswith('.' + _OUR_SWIN)), None)


def _is_swin(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _SWIN in keys and _swin_prefix(model_keys) is not None


LAYOUTS = (Layout('ResNet of torchvision, backbone only', _matches, _convert),
           Layout('Swin transformer, backbone only', _is_swin, convert_swin))
