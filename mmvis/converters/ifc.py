"""github.com/sukjunhwang/IFC (detectron2): names of its checkpoints, for any ResNet and number of classes."""
import re
from typing import Any, Collection, Dict, Tuple

from .layout import Layout, StateDict

_MARKS = ('detr.transformer.memory_bus', 'detr.query_embed.weight', 'detr.mask_head.lay1.weight')

#: (official pattern, ours), tried in this order on what follows 'detr.'.
_BACKBONE = (
    (r'^backbone\.0\.backbone\.stem\.conv1\.norm\.', 'backbone.bn1.'),
    (r'^backbone\.0\.backbone\.stem\.', 'backbone.'),
    (r'^backbone\.0\.backbone\.res(\d)\.(\d+)\.', lambda m: f'backbone.layer{int(m[1]) - 1}.{m[2]}.'),
    (r'\.shortcut\.norm\.', '.downsample.1.'),
    (r'\.shortcut\.', '.downsample.0.'),
    (r'\.conv(\d)\.norm\.', r'.bn\1.'),
)
_TRANSFORMER = (
    (r'^transformer\.memory_bus$', 'encoder.memory'),
    (r'^transformer\.memory_pos$', 'encoder.memory_pos'),
    (r'^transformer\.encoder\.enc_layers\.', 'encoder.receive.'),
    (r'^transformer\.encoder\.bus_layers\.', 'encoder.communicate.'),
    (r'^transformer\.clip_decoder\.norm\.', 'decoder.post_norm.'),
    (r'^transformer\.clip_decoder\.', 'decoder.'),
    (r'\.self_attn\.', '.self_attn.attn.'),
    (r'\.multihead_attn\.', '.cross_attn.attn.'),
    (r'\.linear1\.', '.ffn.layers.0.0.'),
    (r'\.linear2\.', '.ffn.layers.1.'),
    (r'\.norm(\d)\.', lambda m: f'.norms.{int(m[1]) - 1}.'),
)
_MASK_HEAD = (
    (r'\.convert_to_weight\.', '.kernels.'),
    (r'\.lay(\d)\.', lambda m: f'.convs.{int(m[1]) - 1}.'),
    (r'\.gn(\d)\.', lambda m: f'.norms.{int(m[1]) - 1}.'),
    (r'\.adapter1\.', '.lateral16.'),
    (r'\.adapter2\.', '.lateral8.'),
    (r'\.out_lay\.', '.'),
)
_RULES = {'backbone': _BACKBONE, 'transformer': _TRANSFORMER, 'mask_head': _MASK_HEAD}


def our_name(key: str) -> str:
    """Our key for an official one."""
    key = key[len('detr.'):]
    for pattern, ours in _RULES.get(key.split('.')[0], ()):
        key = re.sub(pattern, ours, key)
    return key


def _matches(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return 'encoder.communicate.0.ffn.layers.1.weight' in model_keys and all(mark in keys for mark in _MARKS)


def _convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    dropped = {key: 'not part of the network' for key in state_dict if not key.startswith('detr.')}
    return {our_name(key): value for key, value in state_dict.items() if key not in dropped}, dropped


LAYOUTS = (Layout('IFC (detectron2)', _matches, _convert),)
