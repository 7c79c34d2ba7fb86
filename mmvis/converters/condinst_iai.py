"""github.com/zfonemore/IAI, and the COCO CondInst that its training starts from: of the same repository, of mmdet 3 and
of AdelaiDet (github.com/aim-uofa/AdelaiDet).

Our parts carry the official names, but for the transformer's.
"""
import re
from typing import Any, Collection, Dict, List, Optional, Tuple

from mmengine.logging import print_log

from .layout import Layout, StateDict

_OURS = ('lstt.id_bank.weight', 'bbox_head.controller.weight')
_OFFICIAL = 'lstt.patch_wise_id_bank.weight'
_MMDET = 'mask_head.mask_feature_head.conv_pred.weight'
_ADELAIDET = ('controller.weight', 'mask_branch.refine.0.0.weight', 'proposal_generator.fcos_head.cls_logits.weight')

_TRANSFORMER = (('lstt.LSTT.layers.0.', 'lstt.layer.'), ('lstt.LSTT.decoder_norms.0.', 'lstt.norm.'),
                ('lstt.patch_wise_id_bank.', 'lstt.id_bank.'), ('.activation.GCT.', '.activation.gct.'),
                ('.linear_Q.', '.linear_q.'), ('.linear_K.', '.linear_k.'), ('.linear_V.', '.linear_v.'),
                ('.V_bias', '.v_bias'))
_TOWER_BIAS = re.compile(r'bbox_head\.(cls|reg)_convs\.\d+\.conv\.bias')


def official_name(key: str) -> str:
    """Our name of a tensor of the official state dict."""
    for theirs, ours in _TRANSFORMER:
        key = key.replace(theirs, ours)
    return key


def _is_ours(model_keys: Collection[str]) -> bool:
    return all(key in model_keys for key in _OURS)


def _is_official(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _is_ours(model_keys) and _OFFICIAL in keys


def _is_official_coco(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _is_ours(model_keys) and 'bbox_head.controller.weight' in keys and 'bbox_head.mask_head.4.weight' in keys \
        and not any(key.startswith('lstt.') for key in keys)


def _is_mmdet(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _is_ours(model_keys) and _MMDET in keys and 'bbox_head.controller.weight' in keys


def _is_adelaidet(keys: Collection[str], model_keys: Collection[str]) -> bool:
    return _is_ours(model_keys) and all(key in keys for key in _ADELAIDET)


def _rename(state_dict: StateDict, model: Any, name: Any) -> Tuple[StateDict, Dict[str, str]]:
    """Apply ``name`` (None: no place for it); biases of the towers go only where the model has them."""
    own, out, dropped = model.state_dict(), {}, {}
    for key, value in state_dict.items():
        ours = name(key)
        if ours is None:
            dropped[key] = 'no part of the detector'
        elif _TOWER_BIAS.fullmatch(ours) and ours not in own:
            dropped[key] = 'bias before a group norm; bbox_head.tower_bias=True keeps it'
        else:
            out[ours] = value
    return out, dropped


def _from_official(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    return _rename(state_dict, model, official_name)


_MMDET_NAMES: List[Tuple[str, str]] = [
    (r'mask_head\.mask_feature_head\.convs_all_levels\.(\d)\.conv\d\.conv\.', r'bbox_head.mask_refine.\1.0.'),
    (r'mask_head\.mask_feature_head\.convs_all_levels\.(\d)\.conv\d\.bn\.', r'bbox_head.mask_refine.\1.1.'),
    (r'mask_head\.mask_feature_head\.conv_branch\.(\d)\.conv\.', r'bbox_head.mask_head.\1.0.'),
    (r'mask_head\.mask_feature_head\.conv_branch\.(\d)\.bn\.', r'bbox_head.mask_head.\1.1.'),
    (r'mask_head\.mask_feature_head\.conv_pred\.', 'bbox_head.mask_head.4.'),
    (r'(backbone|neck|bbox_head)\.', r'\1.'),
]


def _substitute(key: str, names: List[Tuple[str, str]]) -> Optional[str]:
    for pattern, replacement in names:
        match = re.match(pattern, key)
        if match:
            return match.expand(replacement) + key[match.end():]
    return None


def _from_mmdet(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    return _rename(state_dict, model, lambda key: _substitute(key, _MMDET_NAMES))


_ADELAIDET_NAMES: List[Tuple[str, str]] = [
    (r'backbone\.bottom_up\.stem\.conv1\.norm\.', 'backbone.bn1.'),
    (r'backbone\.bottom_up\.stem\.conv1\.', 'backbone.conv1.'),
    (r'backbone\.bottom_up\.res2\.', 'backbone.layer1.'),
    (r'backbone\.bottom_up\.res3\.', 'backbone.layer2.'),
    (r'backbone\.bottom_up\.res4\.', 'backbone.layer3.'),
    (r'backbone\.bottom_up\.res5\.', 'backbone.layer4.'),
    (r'backbone\.top_block\.p6\.', 'neck.fpn_convs.3.conv.'),
    (r'backbone\.top_block\.p7\.', 'neck.fpn_convs.4.conv.'),
    (r'proposal_generator\.fcos_head\.cls_logits\.', 'bbox_head.conv_cls.'),
    (r'proposal_generator\.fcos_head\.bbox_pred\.', 'bbox_head.conv_reg.'),
    (r'proposal_generator\.fcos_head\.ctrness\.', 'bbox_head.conv_centerness.'),
    (r'proposal_generator\.fcos_head\.scales\.', 'bbox_head.scales.'),
    (r'controller\.', 'bbox_head.controller.'),
    (r'mask_branch\.refine\.', 'bbox_head.mask_refine.'),
    (r'mask_branch\.tower\.', 'bbox_head.mask_head.'),
]
_BLOCK = re.compile(r'(backbone\.layer\d\.\d+)\.(conv(\d)|shortcut)\.(norm\.)?(.*)')
_PYRAMID = re.compile(r'backbone\.fpn_(lateral|output)([345])\.(weight|bias)')
_TOWER = re.compile(r'proposal_generator\.fcos_head\.(cls|bbox)_tower\.(\d+)\.(weight|bias)')


def _adelaidet_name(key: str) -> Optional[str]:
    match = _PYRAMID.fullmatch(key)
    if match:
        part = dict(lateral='lateral_convs', output='fpn_convs')[match[1]]
        return f'neck.{part}.{int(match[2]) - 3}.conv.{match[3]}'
    match = _TOWER.fullmatch(key)
    if match:
        layer, place = divmod(int(match[2]), 3)              # convolution, norm, ReLU
        tower, part = dict(cls='cls', bbox='reg')[match[1]], 'gn' if place else 'conv'
        return f'bbox_head.{tower}_convs.{layer}.{part}.{match[3]}'
    key = _substitute(key, _ADELAIDET_NAMES)
    match = _BLOCK.fullmatch(key or '')
    if match:
        block, part, number, norm, rest = match.groups()
        if part == 'shortcut':
            return f'{block}.downsample.{1 if norm else 0}.{rest}'
        return f'{block}.bn{number}.{rest}' if norm else f'{block}.{part}.{rest}'
    return key


def _from_adelaidet(state_dict: StateDict, model: Any) -> Tuple[StateDict, Dict[str, str]]:
    converted, dropped = _rename(state_dict, model, _adelaidet_name)
    stem = converted.get('backbone.conv1.weight')
    if stem is not None:
        # Detectron2's ResNet takes BGR frames less their mean, not divided by a deviation.
        deviation = model.data_preprocessor.std.cpu().reshape(1, 3, 1, 1)
        converted['backbone.conv1.weight'] = stem.flip(1) * deviation
    if getattr(model.backbone, 'style', None) != 'caffe':
        print_log('The ResNet of this checkpoint has the strides in its 1x1 convolutions, the model in its 3x3 ones: '
                  "its features are kept only by backbone.style='caffe'; otherwise they are a start for training.",
                  logger='current')
    return converted, dropped


LAYOUTS = (Layout('CondInst+IAI (github.com/zfonemore/IAI)', _is_official, _from_official),
           Layout('CondInst of the IAI repository on COCO, as initialisation', _is_official_coco, _from_official),
           Layout('CondInst of mmdet 3 on COCO, as initialisation', _is_mmdet, _from_mmdet),
           Layout('CondInst of AdelaiDet on COCO, as initialisation', _is_adelaidet, _from_adelaidet))
