"""github.com/SCoulY/MemCNP-VIS, and the MAE weights (arXiv 2111.06377) that its training starts from.

Our parts carry the official names. What the official code holds but never uses has no place in the model.
"""
from typing import Any, Collection, Dict, Tuple

from .layout import Layout, StateDict

_MARKS = ('cls_token', 'pos_embed', 'patch_embed.proj.weight', 'blocks.0.attn.qkv.weight')
#: Of the files of MAE: the decoder of pre-training, the classifiers of fine-tuning and linear probing.
_MAE_ONLY = {'mask_token': 'decoder of MAE', 'decoder_': 'decoder of MAE', 'head.': 'ImageNet classifier',
             'fc_norm.': 'ImageNet classifier'}
_UNUSED = {'backbone.norm.': 'norm after the last block, which is never applied',
           'neck.fpn_convs.4.': 'fifth level of the pyramid, which the head does not look at'}


def _is_official(keys: Collection[str], model_keys: Collection[str]) -> bool:
    mark = 'bbox_head.mem.feat_units.weight'
    return mark in keys and mark in model_keys or all(f'backbone.{key}' in keys for key in _MARKS)


def _is_mae(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return all(key in keys and f'backbone.{key}' in model_keys for key in _MARKS)


def _drop(state_dict: StateDict, reasons: Dict[str, str], model: Any) -> Tuple[StateDict, Dict[str, str]]:
    own = model.state_dict()
    dropped = {key: why for key in state_dict for prefix, why in reasons.items()
               if key.startswith(prefix) and key not in own}
    return {key: value for key, value in state_dict.items() if key not in dropped}, dropped


def _official(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    return _drop(state_dict, _UNUSED, model)


def _mae(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    kept, dropped = _drop(state_dict, {**_MAE_ONLY, 'norm.': _UNUSED['backbone.norm.']}, model)
    return {f'backbone.{key}': value for key, value in kept.items()}, dropped


LAYOUTS = (Layout('MemCNP-VIS (official names, which are also ours)', _is_official, _official),
           Layout('MAE, backbone only', _is_mae, _mae))
