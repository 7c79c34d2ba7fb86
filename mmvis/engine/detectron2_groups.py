"""Optimizer groups of Mask2Former and of the systems on it (MinVIS, CTVIS, DVIS++)."""
from typing import Any, Dict, List, Optional

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvis.errors import InputError
from mmvis.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS

_NOT_DECAYED = (nn.LayerNorm, nn.GroupNorm, _BatchNorm, nn.Embedding)
_TABLES = ('relative_position_bias_table', 'absolute_pos_embed')


def detectron2_groups(model: nn.Module, lr: float, weight_decay: float, backbone_lr_mult: float = 0.1
                      ) -> List[Dict[str, Any]]:
    """At most four groups: with and without ``backbone`` in the name, decayed or not.

    The backbone learns with ``backbone_lr_mult * lr``. Not decayed are the parameters of norms and embeddings, and tables of
    positions; biases are.

    Returns:
        Groups with ``params``, ``names``, ``lr`` and ``weight_decay``.
    """
    groups: Dict[tuple, Dict[str, Any]] = {}
    for path, module in model.named_modules():
        for own_name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            name = f'{path}.{own_name}' if path else own_name
            rate = lr * backbone_lr_mult if 'backbone' in name else lr
            decay = 0. if isinstance(module, _NOT_DECAYED) or own_name in _TABLES else weight_decay
            group = groups.setdefault((rate, decay), dict(params=[], names=[], lr=rate, weight_decay=decay))
            group['params'].append(parameter)
            group['names'].append(name)
    return list(groups.values())


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class Detectron2Groups(DefaultOptimWrapperConstructor):
    """Makes the groups of ``detectron2_groups``; lr and weight decay are those of the optimizer.

    ``paramwise_cfg``: ``backbone_lr_mult``, what the learning rate is multiplied by there.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Optional[dict] = None) -> None:
        super().__init__(optim_wrapper_cfg, {})
        self.settings = dict(paramwise_cfg or {})
        if self.settings.keys() - {'backbone_lr_mult'}:
            raise InputError(f'Detectron2Groups: paramwise_cfg may have backbone_lr_mult, not {self.settings}.')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        model = getattr(model, 'module', model)
        optimizer = dict(self.optimizer_cfg)
        optimizer['params'] = detectron2_groups(model, optimizer['lr'], optimizer.get('weight_decay', 0.),
                                                **self.settings)
        return OPTIM_WRAPPERS.build({**self.optim_wrapper_cfg, 'optimizer': OPTIMIZERS.build(optimizer)})
