"""Files of the encoder-only transformers: checkpoints of VidEoMT (detectron2) and EoMT (Lightning), VidEoMT in the layout
of transformers, and the weights of DINOv2 that their training starts from."""
import math
import re
from typing import Any, Callable, Collection, Dict, List, Sequence, Tuple

import torch
from torch import Tensor

from mmvis.models.backbones.vit import resize_patch_kernel, resize_table

from .layout import Layout, StateDict

Rules = Sequence[Tuple[str, str]]
#: What our models call the parts that all these files hold.
_OURS = ('q.weight', 'backbone.blocks.0.ls1.gamma', 'predictor.class_head.weight')
_UNUSED = {'attn_mask_probs': 'state of a fading rule that inference does not use',
           'criterion.empty_weight': 'of the loss', 'pixel_mean': 'the data preprocessor has it',
           'pixel_std': 'the data preprocessor has it', 'mask_token': 'of pre-training'}

#: (pattern, ours), all that fit are applied, in this order, after the prefix ('backbone.' or 'network.') is gone.
_OFFICIAL: Rules = (
    (r'^encoder\.backbone\.patch_embed\.cls_token$', 'backbone.cls_token'),
    (r'^encoder\.backbone\.patch_embed\.register_tokens$', 'backbone.reg_token'),
    (r'^encoder\.backbone\.patch_embed\.patch_embeddings\.', 'backbone.patch_embed.proj.'),
    (r'^encoder\.backbone\.', 'backbone.'),
    (r'^(class_head|mask_head|upscale)\.', r'predictor.\1.'),
)
#: DINOv3's names of the parts of a block.
_DINOV3: Rules = ((r'\.attention\.o_proj\.', '.attn.proj.'), (r'\.attention\.qkv_proj\.', '.attn.qkv.'),
                  (r'\.layer_scale(\d)\.lambda1$', r'.ls\1.gamma'), (r'\.mlp\.up_proj\.', '.mlp.fc1.'),
                  (r'\.mlp\.down_proj\.', '.mlp.fc2.'))
_TRANSFORMERS: Rules = (
    (r'^embeddings\.cls_token$', 'backbone.cls_token'), (r'^embeddings\.register_tokens$', 'backbone.reg_token'),
    (r'^embeddings\.position_embeddings\.weight$', 'backbone.pos_embed'),
    (r'^embeddings\.patch_embeddings\.projection\.', 'backbone.patch_embed.proj.'),
    (r'^layers\.', 'backbone.blocks.'), (r'^layernorm\.', 'backbone.norm.'),
    (r'\.attention\.out_proj\.', '.attn.proj.'), (r'\.layer_scale(\d)\.lambda1$', r'.ls\1.gamma'),
    (r'^query\.', 'q.'), (r'^class_predictor\.', 'predictor.class_head.'),
    (r'^mask_head\.fc1\.', 'predictor.mask_head.0.'), (r'^mask_head\.fc2\.', 'predictor.mask_head.2.'),
    (r'^mask_head\.fc3\.', 'predictor.mask_head.4.'),
    (r'^upscale_block\.block\.(\d)\.layernorm2d\.', r'predictor.upscale.\1.norm.'),
    (r'^upscale_block\.block\.', 'predictor.upscale.'),
)
_PROJECTION = re.compile(r'(.*blocks\.\d+)\.attention\.([qkv])_proj\.(weight|bias)$')


def _renamed(key: str, rules: Rules) -> str:
    for pattern, ours in rules:
        key = re.sub(pattern, ours, key)
    return key


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
        joined[f'{block}.attn.qkv.{kind}'] = torch.cat([found[name] for name in 'qkv'])
    return joined


def _without_unused(state_dict: StateDict) -> Tuple[StateDict, Dict[str, str]]:
    dropped = {key: why for key in state_dict for end, why in _UNUSED.items() if key.endswith(end)}
    return {key: value for key, value in state_dict.items() if key not in dropped}, dropped


def _official(prefix: str) -> Callable[[StateDict, Any], Tuple[StateDict, Dict[str, str]]]:
    def convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
        kept, dropped = _without_unused(state_dict)
        named = {_renamed(key[len(prefix):] if key.startswith(prefix) else key, _OFFICIAL + _DINOV3): value
                 for key, value in kept.items()}
        return _with_counter(join_projections(named), model), dropped
    return convert


def _with_counter(tensors: StateDict, model: Any) -> StateDict:
    """The count of steps is ours alone; it stays what it is."""
    return {**tensors, **{key: value for key, value in model.state_dict().items() if key == 'counter.steps'}}


def _transformers(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    kept, dropped = _without_unused(state_dict)
    named = {_renamed(key, _TRANSFORMERS): value for key, value in kept.items()}
    named['backbone.pos_embed'] = named['backbone.pos_embed'][None]
    return _with_counter(join_projections(named), model), dropped


def to_transformers(state_dict: StateDict) -> StateDict:
    """Our tensors of a VidEoMT on DINOv2 under the names of transformers' ``VidEomtForUniversalSegmentation``."""
    back = (
        (r'^backbone\.cls_token$', 'embeddings.cls_token'), (r'^backbone\.reg_token$', 'embeddings.register_tokens'),
        (r'^backbone\.pos_embed$', 'embeddings.position_embeddings.weight'),
        (r'^backbone\.patch_embed\.proj\.', 'embeddings.patch_embeddings.projection.'),
        (r'^backbone\.blocks\.', 'layers.'), (r'^backbone\.norm\.', 'layernorm.'),
        (r'\.attn\.proj\.', '.attention.out_proj.'), (r'\.ls(\d)\.gamma$', r'.layer_scale\1.lambda1'),
        (r'^q\.', 'query.'), (r'^predictor\.class_head\.', 'class_predictor.'),
        (r'^predictor\.mask_head\.0\.', 'mask_head.fc1.'), (r'^predictor\.mask_head\.2\.', 'mask_head.fc2.'),
        (r'^predictor\.mask_head\.4\.', 'mask_head.fc3.'),
        (r'^predictor\.upscale\.(\d)\.norm\.', r'upscale_block.block.\1.layernorm2d.'),
        (r'^predictor\.upscale\.', 'upscale_block.block.'))
    named = {_renamed(key, back): value for key, value in state_dict.items()}
    named['embeddings.position_embeddings.weight'] = named['embeddings.position_embeddings.weight'][0]
    for key in [key for key in named if '.attn.qkv.' in key]:
        block, kind = key.split('.attn.qkv.')
        named.update({f'{block}.attention.{name}_proj.{kind}': part.clone()
                      for name, part in zip('qkv', named.pop(key).chunk(3))})
    return named


def convert_dinov2(state_dict: StateDict, grid: Tuple[int, int], patch_size: int) -> StateDict:
    """Meta's or timm's tensors of a DINOv2 with registers, for a table of another size and other patches.

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


def _dinov2(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    dropped = {key: 'of pre-training' for key in state_dict if key == 'mask_token' or key.startswith('head.')}
    kept = {key: value for key, value in state_dict.items() if key not in dropped}
    converted = convert_dinov2(kept, model.backbone.grid, model.backbone.patch_size)
    return {f'backbone.{key}': value for key, value in converted.items()}, dropped


def _has(marks: List[str]) -> Callable[[Collection[str], Collection[str]], bool]:
    return lambda keys, model_keys: all(key in model_keys for key in _OURS) and all(mark in keys for mark in marks)


def _is_dinov2(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return 'backbone.reg_token' in model_keys and 'backbone.blocks.0.ls1.gamma' in model_keys and all(
        key in keys for key in ('pos_embed', 'cls_token', 'blocks.0.ls1.gamma', 'patch_embed.proj.weight'))


LAYOUTS = (
    Layout('VidEoMT (github.com/tue-mps/videomt)', _has(['backbone.q.weight', 'backbone.class_head.weight']),
           _official('backbone.')),
    Layout('EoMT (github.com/tue-mps/eomt)', _has(['network.q.weight', 'network.class_head.weight']),
           _official('network.')),
    Layout('VidEoMT of transformers', _has(['query.weight', 'class_predictor.weight']), _transformers),
    Layout('DINOv2, backbone only', _is_dinov2, _dinov2),
)
