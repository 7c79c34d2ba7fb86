"""github.com/rajatkoner08/InstanceFormer, and the Deformable DETR (github.com/fundamentalvision/Deformable-DETR) that a
COCO pre-training may start from. The two share most names; InstanceFormer puts ``detr.`` in front."""
import re
from typing import Any, Collection, Dict, List, Optional, Tuple

from .backbone import convert_swin
from .layout import Layout, StateDict

_OURS = ('reference_points.weight', 'level_embed', 'controller.0.weight')
_OFFICIAL = ('detr.transformer.reference_points.weight', 'controller.layers.0.weight')
_DEFORMABLE = ('transformer.reference_points.weight', 'transformer.level_embed', 'bbox_embed.0.layers.0.weight')

#: (pattern of the official key without ``detr.``, ours); the decoder of Deformable DETR has the same names without
#: ``_box``.
_NAMES: List[Tuple[str, str]] = [
    (r'backbone\.0\.body\.', 'backbone.'),
    (r'input_proj\.([0-2])\.0\.', r'neck.convs.\1.conv.'),
    (r'input_proj\.([0-2])\.1\.', r'neck.convs.\1.gn.'),
    (r'input_proj\.3\.0\.', 'neck.extra_convs.0.conv.'),
    (r'input_proj\.3\.1\.', 'neck.extra_convs.0.gn.'),
    (r'transformer\.level_embed', 'level_embed'),
    (r'transformer\.reference_points\.', 'reference_points.'),
    (r'transformer\.mem_token_proj\.', 'memory.proj.'),
    (r'transformer\.encoder\.layers\.(\d+)\.norm1\.', r'encoder.layers.\1.self_norm.'),
    (r'transformer\.encoder\.layers\.(\d+)\.norm2\.', r'encoder.layers.\1.ffn_norm.'),
    (r'transformer\.decoder\.layers\.(\d+)\.norm1(_box)?\.', r'decoder.layers.\1.cross_norm.'),
    (r'transformer\.decoder\.layers\.(\d+)\.norm2\.', r'decoder.layers.\1.self_norm.'),
    (r'transformer\.decoder\.layers\.(\d+)\.norm3(_box)?\.', r'decoder.layers.\1.ffn_norm.'),
    (r'transformer\.decoder\.layers\.(\d+)\.norm2_mem\.', r'decoder.layers.\1.memory_norm.'),
    (r'transformer\.decoder\.layers\.(\d+)\.cross_attn_mem\.', r'decoder.layers.\1.memory_attn.'),
    (r'transformer\.(en|de)coder\.layers\.(\d+)\.linear1(_box)?\.', r'\1coder.layers.\2.ffn.0.'),
    (r'transformer\.(en|de)coder\.layers\.(\d+)\.linear2(_box)?\.', r'\1coder.layers.\2.ffn.3.'),
    (r'transformer\.(en|de)coder\.layers\.(\d+)\.(self|cross)_attn\.', r'\1coder.layers.\2.\3_attn.'),
    (r'query_embed\.', 'query_embedding.'),
    (r'class_embed\.', 'class_branches.'),
    (r'bbox_embed\.(\d+)\.layers\.0\.', r'decoder.box_branches.\1.0.'),
    (r'bbox_embed\.(\d+)\.layers\.1\.', r'decoder.box_branches.\1.2.'),
    (r'bbox_embed\.(\d+)\.layers\.2\.', r'decoder.box_branches.\1.4.'),
    (r'controller\.layers\.0\.', 'controller.0.'),
    (r'controller\.layers\.1\.', 'controller.2.'),
    (r'controller\.layers\.2\.', 'controller.4.'),
    (r'mask_head\.lay3\.', 'mask_features.conv32.'),
    (r'mask_head\.lay4\.', 'mask_features.conv16.'),
    (r'mask_head\.dcn\.', 'mask_features.conv8.'),
    (r'mask_head\.lay1\.', 'mask_features.squeeze.'),
    (r'mask_head\.lay2\.', 'mask_features.out.'),
]
_LEFT_OUT: List[Tuple[str, str]] = [
    (r'temporal_class_embed\.', 'propagates class scores by weights that add up to 1: without effect'),
    (r'transformer\.decoder\.bbox_embed\.', 'the same tensor as bbox_embed'),
    (r'transformer\.decoder\.class_embed\.', 'the same tensor as class_embed'),
    (r'backbone\.0\.body\.fc\.', 'ImageNet classifier'),
]


def our_name(key: str) -> Optional[str]:
    """Our name of a tensor of the official state dict; None if there is none."""
    key = key.removeprefix('detr.')
    for pattern, ours in _NAMES:
        match = re.match(pattern, key)
        if match:
            return match.expand(ours) + key[match.end():]
    return None


def _convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    out, dropped, backbone = {}, {}, {}
    own = model.state_dict()
    for key, value in state_dict.items():
        plain = key.removeprefix('detr.')
        why = next((reason for pattern, reason in _LEFT_OUT if re.match(pattern, plain)), None)
        ours = our_name(plain)
        if why is None and ours not in own and re.search(r'mem_token_proj|_mem\.', plain):
            why = 'the model has no memory'
        if why is not None:
            dropped[key] = why
        elif ours is not None and ours.startswith('backbone.'):
            backbone[ours[len('backbone.'):]] = value
        else:
            out[ours or key] = value
    if any(key.startswith('patch_embed.') for key in backbone):
        swin, left_out = convert_swin(backbone, model)
        dropped.update({f'detr.backbone.0.body.{key}': why for key, why in left_out.items()})
        return {**out, **swin}, dropped
    return {**out, **{f'backbone.{key}': value for key, value in backbone.items()}}, dropped


def _is_ours(model_keys: Collection[str]) -> bool:
    return all(key in model_keys for key in _OURS)


def _is_official(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _is_ours(model_keys) and all(key in keys for key in _OFFICIAL)


def _is_deformable_detr(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _is_ours(model_keys) and all(key in keys for key in _DEFORMABLE)


LAYOUTS = (Layout('InstanceFormer (github.com/rajatkoner08/InstanceFormer)', _is_official, _convert),
           Layout('Deformable DETR with iterative box refinement, as initialisation', _is_deformable_detr, _convert))
