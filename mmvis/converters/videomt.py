"""Files of the encoder-only transformers: checkpoints of VidEoMT (detectron2) and EoMT (Lightning), and VidEoMT in the
layout of transformers (``dino`` has the weights that their training starts from)."""
from typing import Any, Callable, Collection, Dict, List, Optional, Sequence, Tuple

import torch

from mmvis.errors import InputError

from .dino import join_projections
from .layout import Layout, Rules, StateDict, renamed

#: What our models call the parts that all these files hold.
_OURS = ('q.weight', 'backbone.blocks.0.ls1.gamma', 'predictor.class_head.weight')
_UNUSED = {'attn_mask_probs': 'state of a fading rule that inference does not use',
           'criterion.empty_weight': 'of the loss', 'pixel_mean': 'the data preprocessor has it',
           'pixel_std': 'the data preprocessor has it', 'mask_token': 'of pre-training'}

#: (pattern, ours), all that fit are applied, in this order, after the prefix ('backbone.' or 'network.') is gone.
VIT_TOKENS: Rules = (
    (r'^encoder\.backbone\.patch_embed\.cls_token$', 'backbone.cls_token'),
    (r'^encoder\.backbone\.patch_embed\.register_tokens$', 'backbone.reg_token'),
    (r'^encoder\.backbone\.patch_embed\.patch_embeddings\.', 'backbone.patch_embed.proj.'),
    (r'^encoder\.backbone\.', 'backbone.'),
)
_OFFICIAL: Rules = (
    *VIT_TOKENS,
    (r'^(class_head|mask_head|upscale)\.', r'predictor.\1.'),
)
#: DINOv3's names of the parts of a block.
DINOV3_PARTS: Rules = ((r'\.attention\.o_proj\.', '.attn.proj.'), (r'\.attention\.qkv_proj\.', '.attn.qkv.'),
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


def without_unused(state_dict: StateDict) -> Tuple[StateDict, Dict[str, str]]:
    """The tensors that a model has, and why the others are dropped."""
    dropped = {key: why for key in state_dict for end, why in _UNUSED.items() if key.endswith(end)}
    return {key: value for key, value in state_dict.items() if key not in dropped}, dropped


def _official(prefix: str) -> Callable[[StateDict, Any], Tuple[StateDict, Dict[str, str]]]:
    def convert(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
        kept, dropped = without_unused(state_dict)
        named = {renamed(key[len(prefix):] if key.startswith(prefix) else key, _OFFICIAL + DINOV3_PARTS): value
                 for key, value in kept.items()}
        return _with_counter(join_projections(named), model), dropped
    return convert


convert_eomt = _official('network.')


def is_difference(tensors: StateDict) -> bool:
    """Whether tensors under our names are those of an EoMT less the DINOv3 that it was trained from.

    The file does not say so. But layer norms begin with weights of 1, which hardly one in a transformer loses below 0,
    while training takes away from them about as often as it adds.
    """
    weights = [value.flatten() for key, value in tensors.items()
               if key.startswith('backbone.') and key.endswith(('.norm1.weight', '.norm2.weight', '.norm.weight'))]
    return bool(weights) and float((torch.cat(weights) > 0).float().mean()) < 0.75


def _eomt(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    converted, dropped = convert_eomt(state_dict, model)
    if is_difference(converted):
        raise InputError('it holds the differences of an EoMT from DINOv3, as its authors publish them, and no model: '
                         'python tools/add_dinov3.py CONFIG FILE DINOV3 OUT adds them to the weights of DINOv3.')
    return converted, dropped


def _with_counter(tensors: StateDict, model: Any) -> StateDict:
    """The count of steps is ours alone; it stays what it is."""
    return {**tensors, **{key: value for key, value in model.state_dict().items() if key == 'counter.steps'}}


def _transformers(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    kept, dropped = without_unused(state_dict)
    named = {renamed(key, _TRANSFORMERS): value for key, value in kept.items()}
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
    named = {renamed(key, back): value for key, value in state_dict.items()}
    named['embeddings.position_embeddings.weight'] = named['embeddings.position_embeddings.weight'][0]
    for key in [key for key in named if '.attn.qkv.' in key]:
        block, kind = key.split('.attn.qkv.')
        named.update({f'{block}.attention.{name}_proj.{kind}': part.clone()
                      for name, part in zip('qkv', named.pop(key).chunk(3))})
    return named


def transformers_config(model: Any, classes: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """What transformers' ``VideomtConfig`` has to know to build a model of these sizes.

    Args:
        classes: names by label, where they are known.

    Raises:
        InputError: the model has a part that transformers' has not.
    """
    vit = model.backbone
    if vit.position_rule != 'learned' or vit.grid[0] != vit.grid[1] or model.norm_queries:
        raise InputError('transformers has VidEoMT on DINOv2 alone, with a square position table and without '
                         'norm_queries.')
    block = vit.blocks[0]
    names = classes or [f'LABEL_{label}' for label in range(model.num_classes)]
    return dict(
        model_type='videomt', architectures=['VideomtForUniversalSegmentation'], hidden_size=vit.embed_dims,
        num_hidden_layers=len(vit.blocks), num_attention_heads=vit.num_heads, patch_size=vit.patch_size,
        image_size=vit.grid[0] * vit.patch_size, mlp_ratio=block.mlp.fc1.out_features // vit.embed_dims,
        layer_norm_eps=block.norm1.eps, num_register_tokens=vit.num_prefix - 1, num_queries=model.q.num_embeddings,
        num_blocks=len(vit.blocks) - model.first_query_block, num_upscale_blocks=len(model.predictor.upscale),
        no_object_weight=model.criterion.no_object_weight, id2label={str(label): name for label, name in enumerate(names)},
        label2id={name: label for label, name in enumerate(names)})


def _has(marks: List[str]) -> Callable[[Collection[str], Collection[str]], bool]:
    return lambda keys, model_keys: all(key in model_keys for key in _OURS) and all(mark in keys for mark in marks)


LAYOUTS = (
    Layout('VidEoMT (github.com/tue-mps/videomt)', _has(['backbone.q.weight', 'backbone.class_head.weight']),
           _official('backbone.')),
    Layout('EoMT (github.com/tue-mps/eomt)', _has(['network.q.weight', 'network.class_head.weight']),
           _eomt),
    Layout('VidEoMT of transformers',
           _has(['query.weight', 'class_predictor.weight', 'embeddings.position_embeddings.weight']), _transformers),
)
