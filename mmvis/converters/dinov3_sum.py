"""The published EoMT on DINOv3: differences from Meta's weights, which have a licence of their own."""
from typing import Any

from mmvis.errors import InputError

from .layout import StateDict
from .load import convert_state_dict
from .videomt import convert_eomt, is_difference


def add_dinov3(difference: StateDict, base: StateDict, model: Any) -> StateDict:
    """Tensors of the model by its keys: in the transformer the sum of both files, elsewhere those of the first.

    Args:
        difference: of the authors' file.
        base: DINOv3 in any layout that is known.
        model: an EoMT on that DINOv3, for names and shapes.

    Raises:
        InputError: the first file is no difference, the second no DINOv3, or one of them does not fit the model.
    """
    own = model.state_dict()
    found, dropped = convert_eomt(difference, model)
    _check_fit(found, own, own, 'the file of differences')
    if not is_difference(found):
        raise InputError('the file of differences holds a whole model: use it as it is.')
    backbone, report = convert_state_dict(base, model)
    if not report.source.startswith('DINOv3'):
        raise InputError(f'the file of DINOv3 is no DINOv3, but {report.source}.')
    _check_fit(backbone, own, [key for key in own if key.startswith('backbone.')], 'the file of DINOv3')
    return {key: backbone[key].float() + found[key].float() if key in backbone else found[key] for key in own}


def _check_fit(tensors: StateDict, own: StateDict, wanted: Any, what: str) -> None:
    for key in wanted:
        if key not in tensors:
            raise InputError(f'{what} lacks {key} of the model.')
        if tensors[key].shape != own[key].shape:
            raise InputError(f'{what}: {key} is {list(tensors[key].shape)}, the model has {list(own[key].shape)}.')
