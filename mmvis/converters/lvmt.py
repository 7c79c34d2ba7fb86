"""Checkpoints of PMT and LVMT (detectron2), with the encoder in them or without (``dino`` has its weights)."""
import re
from typing import Any, Collection, Dict, Tuple

from .dino import join_projections
from .layout import Layout, Rules, StateDict, renamed
from .videomt import DINOV3_PARTS, VIT_TOKENS, without_unused

#: (pattern, ours), all that fit are applied, in this order, after the prefix is gone.
_OFFICIAL: Rules = (
    *VIT_TOKENS,
    (r'^bn\.(\d+)\.', r'levels.\1.norm.'),
    (r'^decoder\.lateral_projections\.(\d+)\.0\.', r'levels.\1.mlp.fc1.'),
    (r'^decoder\.lateral_projections\.(\d+)\.2\.', r'levels.\1.mlp.fc2.'),
    (r'^decoder\.scalers\.(\d+)$', r'levels.\1.scale'),
    (r'^decoder\.(class_head|mask_head|upscale)\.', r'predictor.\1.'),
    (r'^decoder\.decoder_norm\.', 'norm.'),
    (r'^decoder\.', ''),
    *DINOV3_PARTS,
)
_PREFIX = re.compile(r'^(backbone|network)\.(?=bn\.|decoder\.|encoder\.)')


def our_name(key: str) -> str:
    """Our name of an official tensor; of a projection to queries, keys or values, which ours has in one, its part."""
    return renamed(_PREFIX.sub('', key), _OFFICIAL)


def _convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    kept, dropped = without_unused(state_dict)
    return join_projections({our_name(key): value for key, value in kept.items()}), dropped


def _matches(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return 'levels.0.scale' in model_keys and any(
        f'{prefix}.decoder.scalers.0' in keys for prefix in ('backbone', 'network'))


LAYOUTS = (Layout('PMT or LVMT (github.com/tue-mps/pmt, github.com/tue-mps/lvmt)', _matches, _convert),)
