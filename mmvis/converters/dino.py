"""Weights of the transformers that training starts from: DINOv2 as Meta, timm and transformers write it, DINOv3 as Meta
and transformers do. They go into the ``ViT`` of a model that is built in that form."""
import math
import re
from typing import Any, Callable, Collection, Dict, Tuple

import torch

from mmvis.models.backbones.vit import resize_patch_kernel, resize_table

from .layout import Layout, Rules, StateDict, renamed

#: What the model of transformers may be wrapped in (classifiers and backbones of that library).
_WRAPPED = re.compile(r'^(dinov2_with_registers|dinov2|dinov3_vit|dinov3)\.')
_TRANSFORMERS: Rules = (
    (r'^embeddings\.cls_token$', 'cls_token'), (r'^embeddings\.register_tokens$', 'reg_token'),
    (r'^embeddings\.mask_token$', 'mask_token'), (r'^embeddings\.position_embeddings$', 'pos_embed'),
    (r'^embeddings\.patch_embeddings\.(projection\.)?', 'patch_embed.proj.'),
    (r'^(encoder\.|model\.)?layer\.', 'blocks.'), (r'^layernorm\.', 'norm.'),
    (r'\.attention\.attention\.query\.', '.attention.q_proj.'), (r'\.attention\.attention\.key\.', '.attention.k_proj.'),
    (r'\.attention\.attention\.value\.', '.attention.v_proj.'),
    (r'\.attention\.output\.dense\.', '.attn.proj.'), (r'\.attention\.o_proj\.', '.attn.proj.'),
    (r'\.layer_scale(\d)\.lambda1$', r'.ls\1.gamma'), (r'\.mlp\.up_proj\.', '.mlp.fc1.'),
    (r'\.mlp\.down_proj\.', '.mlp.fc2.'))
_PROJECTION = re.compile(r'(.*blocks\.\d+)\.attention\.([qkv])_proj\.(weight|bias)$')
_UNUSED = {'mask_token': 'of pre-training', 'head.': 'classifier', 'classifier.': 'classifier',
           'linear_head.': 'classifier', 'local_cls_norm.': 'of pre-training', 'cls_norm.': 'of pre-training',
           'rope_embed.': 'follows from the size of the image', 'rope_embeddings.': 'follows from the size of the image'}


def join_projections(tensors: StateDict) -> StateDict:
    """Separate projections to queries, keys and values as one; a key bias that is not there is 0."""
    joined, parts = {}, {}
    for key, value in tensors.items():
        match = _PROJECTION.match(key)
        if match:
            parts.setdefault((match[1], match[3]), {})[match[2]] = value
        else:
            joined[key] = value
    for (block, kind), found in parts.items():
        if 'q' in found and 'v' in found:
            found.setdefault('k', torch.zeros_like(found['v']))
        if len(found) == 3:
            joined[f'{block}.attn.qkv.{kind}'] = torch.cat([found[name] for name in 'qkv'])
        else:  # told as not in the model
            joined.update({f'{block}.attention.{name}_proj.{kind}': value for name, value in found.items()})
    return joined


def convert_dinov2(state_dict: StateDict, grid: Tuple[int, int], patch_size: int) -> StateDict:
    """Meta's or timm's tensors of a DINOv2, for a table of another size and other patches.

    Meta's position table has a row for the class token, which is added to that token; patches of 14 pixels become those
    of ``patch_size`` (``resize_patch_kernel``).
    """
    tensors = {key: value for key, value in state_dict.items() if key != 'mask_token'}
    if 'register_tokens' in tensors:
        tensors['reg_token'] = tensors.pop('register_tokens')
    table = tensors['pos_embed']
    side = math.isqrt(table.shape[1])
    if side ** 2 < table.shape[1]:
        tensors['cls_token'] = tensors['cls_token'] + table[:, :1]
        table = table[:, 1:]
    tensors['pos_embed'] = resize_table(table, (side, side), grid, antialias=True)
    tensors['patch_embed.proj.weight'] = resize_patch_kernel(tensors['patch_embed.proj.weight'], patch_size)
    return tensors


def _used(state_dict: StateDict) -> Tuple[StateDict, Dict[str, str]]:
    dropped = {key: why for key in state_dict for start, why in _UNUSED.items() if key.startswith(start)}
    dropped.update({key: 'keys have no bias' for key in state_dict if key.endswith('.attn.qkv.bias_mask')})
    return {key: value for key, value in state_dict.items() if key not in dropped}, dropped


def _from_transformers(state_dict: StateDict) -> Tuple[StateDict, Dict[str, str]]:
    names = {renamed(_WRAPPED.sub('', key), _TRANSFORMERS): key for key in state_dict}
    kept, dropped = _used({ours: state_dict[theirs] for ours, theirs in names.items()})
    return join_projections(kept), {names[key]: why for key, why in dropped.items()}


def _dinov2(read: Callable[[StateDict], Tuple[StateDict, Dict[str, str]]]) -> Callable:
    def convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
        kept, dropped = read(state_dict)
        converted = convert_dinov2(kept, model.backbone.grid, model.backbone.patch_size)
        return {f'backbone.{key}': value for key, value in converted.items()}, dropped
    return convert


def _dinov3(read: Callable[[StateDict], Tuple[StateDict, Dict[str, str]]]) -> Callable:
    def convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
        kept, dropped = read(state_dict)
        if 'storage_tokens' in kept:
            kept['reg_token'] = kept.pop('storage_tokens')
        weight = kept['patch_embed.proj.weight']
        kept['patch_embed.proj.weight'] = resize_patch_kernel(weight, model.backbone.patch_size)
        for key in [key for key in kept if key.endswith('.attn.qkv.bias')]:  # Meta's file has values that its mask hides
            query, bias, value = kept[key].tensor_split(3)
            kept[key] = torch.cat([query, torch.zeros_like(bias), value])
        return {f'backbone.{key}': value for key, value in kept.items()}, dropped
    return convert


def _is(*marks: str, position: str) -> Callable[[Collection[str], Collection[str]], bool]:
    """Whether a file has these tensors, under the names of transformers in any wrapper, and the model a ViT whose
    position is of this rule."""
    def matches(keys: Collection[str], model_keys: Collection[str]) -> bool:
        if 'backbone.blocks.0.ls1.gamma' not in model_keys or 'backbone.reg_token' not in model_keys:
            return False
        keys = {_WRAPPED.sub('', key) for key in keys}
        return ('backbone.pos_embed' in model_keys) == (position == 'learned') and all(mark in keys for mark in marks)
    return matches


_META = 'cls_token', 'blocks.0.ls1.gamma', 'patch_embed.proj.weight'
LAYOUTS = (
    Layout('DINOv2, backbone only', _is(*_META, 'pos_embed', position='learned'), _dinov2(_used)),
    Layout('DINOv2 of transformers, backbone only',
           _is('embeddings.cls_token', 'embeddings.position_embeddings', 'embeddings.patch_embeddings.projection.weight',
               position='learned'), _dinov2(_from_transformers)),
    Layout('DINOv3, backbone only', _is(*_META, 'storage_tokens', position='rotary'), _dinov3(_used)),
    Layout('DINOv3 of transformers, backbone only',
           _is('embeddings.cls_token', 'embeddings.register_tokens', 'embeddings.patch_embeddings.weight',
               position='rotary'), _dinov3(_from_transformers)),
)
