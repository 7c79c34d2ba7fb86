"""github.com/JialeCao001/SipMask: SipMask-VIS (mmdet 0.6), and the COCO SipMask that its training starts from.

Our parts carry the official names and there is no background channel, so no tensor is renamed or reordered.
"""
import re
from typing import Any, Collection, Dict, Tuple

from .layout import Layout, StateDict

_HEAD = ('bbox_head.sip_cof.weight', 'bbox_head.sip_mask_lat0.weight', 'bbox_head.feat_align.conv_adaption.weight')
_TRACK = 'bbox_head.sipmask_track.weight'
_TOWER_BLOCK = re.compile(r'bbox_head\.(cls|reg)_convs\.\d+\.')


def _is_official(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return all(key in keys and key in model_keys for key in (*_HEAD, _TRACK))


def _is_coco(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return all(key in keys and key in model_keys for key in _HEAD) and _TRACK not in keys


def _as_it_is(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    return dict(state_dict), {}


def _first_blocks(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    """The towers on COCO have a block more than ours: the first ones are taken, as the official loader does."""
    own = model.state_dict()
    dropped = {key: 'the tower of the model is shorter' for key in state_dict
               if _TOWER_BLOCK.match(key) and key not in own}
    return {key: value for key, value in state_dict.items() if key not in dropped}, dropped


LAYOUTS = (Layout('SipMask-VIS (official names, which are also ours)', _is_official, _as_it_is),
           Layout('SipMask on COCO, as initialisation', _is_coco, _first_blocks))
