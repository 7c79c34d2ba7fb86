"""Files of Mask2Former (detectron2) and of the systems built on it under the same names: MinVIS, CTVIS."""
from typing import Any, Collection, Dict, Tuple

from .backbone import convert_swin, resnet_prefix
from .layout import Layout, Rules, StateDict, renamed

_OURS, _OFFICIAL = 'segmenter.decoder.query_embed.weight', 'sem_seg_head.predictor.query_embed.weight'
_UNUSED = {'criterion.empty_weight': 'of the loss', 'pixel_mean': 'the data preprocessor has it',
           'pixel_std': 'the data preprocessor has it'}
_RE_ID = 'reid_head.'

#: (pattern, ours), all that fit are applied, in this order.
_HEAD: Rules = (
    # of the first releases: the pixel decoder without its name, the queries under another
    (r'^sem_seg_head\.(?!predictor\.|pixel_decoder\.)', 'sem_seg_head.pixel_decoder.'),
    (r'^sem_seg_head\.predictor\.static_query\.', 'sem_seg_head.predictor.query_feat.'),

    (r'^sem_seg_head\.pixel_decoder\.', 'segmenter.pixel_decoder.'),
    (r'^sem_seg_head\.predictor\.reid_embed\.layers\.', _RE_ID),
    (r'^sem_seg_head\.predictor\.', 'segmenter.decoder.'),
    (r'\.pixel_decoder\.input_proj\.', '.pixel_decoder.input_convs.'),
    (r'\.pixel_decoder\.transformer\.', '.pixel_decoder.'),
    (r'(\.encoder\.layers\.\d+)\.linear1\.', r'\1.ffn.0.'), (r'(\.encoder\.layers\.\d+)\.linear2\.', r'\1.ffn.3.'),
    (r'(\.encoder\.layers\.\d+)\.norm1\.', r'\1.self_norm.'), (r'(\.encoder\.layers\.\d+)\.norm2\.', r'\1.ffn_norm.'),
    (r'\.adapter_1\.norm\.', '.lateral.1.'), (r'\.adapter_1\.', '.lateral.0.'),
    (r'\.layer_1\.norm\.', '.output.1.'), (r'\.layer_1\.', '.output.0.'),
    (r'\.transformer_cross_attention_layers\.(\d+)\.multihead_attn\.', r'.layers.\1.cross_attn.'),
    (r'\.transformer_cross_attention_layers\.(\d+)\.norm\.', r'.layers.\1.cross_norm.'),
    (r'\.transformer_self_attention_layers\.(\d+)\.self_attn\.', r'.layers.\1.self_attn.'),
    (r'\.transformer_self_attention_layers\.(\d+)\.norm\.', r'.layers.\1.self_norm.'),
    (r'\.transformer_ffn_layers\.(\d+)\.linear1\.', r'.layers.\1.ffn.0.'),
    (r'\.transformer_ffn_layers\.(\d+)\.linear2\.', r'.layers.\1.ffn.2.'),
    (r'\.transformer_ffn_layers\.(\d+)\.norm\.', r'.layers.\1.ffn_norm.'),
    (r'\.decoder\.decoder_norm\.', '.decoder.norm.'), (r'\.decoder\.class_embed\.', '.decoder.class_head.'),
    (r'\.decoder\.mask_embed\.layers\.', '.decoder.mask_head.'),
    # layers of a small network, between which we count the activations
    (r'^(reid_head|segmenter\.decoder\.mask_head)\.2\.', r'\1.4.'),
    (r'^(reid_head|segmenter\.decoder\.mask_head)\.1\.', r'\1.2.'),
)
_RESNET: Rules = (
    (r'^stem\.conv1\.norm\.', 'bn1.'), (r'^stem\.', ''), (r'\.conv(\d)\.norm\.', r'.bn\1.'),
    (r'\.shortcut\.norm\.', '.downsample.1.'), (r'\.shortcut\.', '.downsample.0.'),
    *((rf'^res{stage}\.', f'layer{stage - 1}.') for stage in (2, 3, 4, 5)),
)


def our_name(key: str) -> str:
    """Our name of an official parameter outside Swin."""
    if key.startswith('backbone.'):
        return f'segmenter.backbone.{renamed(key.removeprefix("backbone."), _RESNET)}'
    return renamed(key, _HEAD)


def _convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    own = model.state_dict()
    with_re_id = any(key.startswith(_RE_ID) for key in own)
    out, dropped, swin = {}, {}, {}
    for key, value in state_dict.items():
        ours = our_name(key)
        if key in _UNUSED:
            dropped[key] = _UNUSED[key]
        elif ours.startswith(_RE_ID) and not with_re_id:
            dropped[key] = 'the model does not re-identify'
        elif key.startswith('backbone.') and 'backbone.patch_embed.proj.weight' in state_dict:
            swin[key.removeprefix('backbone.')] = value
        else:
            out[ours] = value
    if swin:
        converted, left_out = convert_swin(swin, model)
        out.update(converted)
        dropped.update({f'backbone.{key}': why for key, why in left_out.items()})
    return out, dropped


def _is_official(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _OURS in model_keys and _OFFICIAL in keys


def _convert_resnet(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    prefix = resnet_prefix(model.state_dict())
    dropped = {key: 'ImageNet classifier' for key in state_dict if key.startswith('stem.fc.')}
    return {prefix + renamed(key, _RESNET): value for key, value in state_dict.items() if key not in dropped}, dropped


def _is_resnet(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return 'stem.conv1.weight' in keys and 'res2.0.conv1.weight' in keys and resnet_prefix(model_keys) is not None


LAYOUTS = (Layout('Mask2Former and its kin (github.com/facebookresearch/Mask2Former)', _is_official, _convert),
           Layout('ResNet of detectron2, backbone only', _is_resnet, _convert_resnet))
