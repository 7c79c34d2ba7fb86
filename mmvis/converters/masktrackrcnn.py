"""github.com/youtubevos/MaskTrackRCNN (mmdet 0.5.6), and the COCO Mask R-CNN that its training starts from.

Our parts carry the official names and keep the background in slot 0, so no tensor is renamed or reordered.
"""
from typing import Any, Collection, Dict, Tuple

from mmvis.errors import InputError

from .layout import Layout, StateDict

_DETECTOR = ('backbone.conv1.weight', 'rpn_head.rpn_conv.weight', 'bbox_head.shared_fcs.0.weight',
             'mask_head.upsample.weight')
_TRACK = 'track_head.fcs.0.weight'


def _has_track_head(keys: Collection[str]) -> bool:
    return any(key.startswith('track_head.') for key in keys)


def _is_official(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _TRACK in model_keys and all(key in keys for key in _DETECTOR) and _has_track_head(keys)


def _is_coco(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return all(key in keys and key in model_keys for key in _DETECTOR) and not _has_track_head(keys)


def _as_it_is(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    if any(key.startswith('track_head.fc.') for key in state_dict):
        raise InputError('the track head has one layer (keys track_head.fc.*): this is the faulty first release of the '
                         'MaskTrackRCNN weights (github.com/youtubevos/MaskTrackRCNN, issue 11); take the corrected '
                         'file, whose keys are track_head.fcs.0.* and track_head.fcs.1.*.')
    return dict(state_dict), {}


LAYOUTS = (Layout('MaskTrackRCNN (official names, which are also ours)', _is_official, _as_it_is),
           Layout('Mask R-CNN of mmdet 0.5 on COCO, as initialisation', _is_coco, _as_it_is))
