"""The .pkl files of detectron2's model zoo: a pickled dict whose ``model`` holds NumPy arrays by name. Nothing in them is
executed; whatever is neither an array of numbers nor a plain value is refused."""
import math
import os
import pickle
from typing import Any, Dict, Union

import numpy as np
import torch

from mmvis.errors import InputError, of_user_path
from mmvis.structures.plain_pickle import PlainUnpickler, as_bytes


class _Array:
    """A NumPy array of numbers, as a tensor."""

    def __init__(self) -> None:
        self.tensor = torch.zeros(0)

    def __setstate__(self, state: tuple) -> None:
        version, shape, number, fortran, data = state
        data = as_bytes(data)
        if not all(type(side) is int and side >= 0 for side in shape) \
                or math.prod(shape) * number.dtype.itemsize != len(data):
            raise pickle.UnpicklingError(f'an array of shape {str(shape)[:40]} has {len(data)} bytes')
        # a copy of its own, in the byte order of this machine
        values = np.frombuffer(data, number.dtype).reshape(shape, order='F' if fortran else 'C')
        self.tensor = torch.from_numpy(np.array(values, number.dtype.newbyteorder('='), order='C'))


class _Unpickler(PlainUnpickler):
    array = _Array
    others = {('collections', 'OrderedDict'): dict, ('builtins', 'dict'): dict}


def read_pickle(path: Union[str, os.PathLike]) -> Dict[str, Any]:
    """The dict of such a file, its arrays as tensors.

    Raises:
        InputError: it is damaged, or holds other things.
    """
    with of_user_path(f'Checkpoint {path}'), open(path, 'rb') as file:
        try:
            content = _Unpickler(file, encoding='latin1').load()
        except Exception as error:  # whatever a damaged pickle brings about
            if isinstance(error, OSError) and error.errno is not None:
                raise
            reason = str(error)[:200].replace('\n', ' ') or type(error).__name__
            raise InputError(f'Checkpoint {path} is a pickle, but no weights in the form of detectron2 (.pkl), or it is '
                             f'damaged ({reason}): only arrays and plain values are taken, since others could run '
                             'foreign code.') from error
    if not isinstance(content, dict):
        raise InputError(f'Checkpoint {path} holds a {type(content).__name__}, not a dict of arrays.')
    model = content.get('model')
    if isinstance(model, dict):
        return {**content, 'model': _tensors(model)}
    return _tensors(content)


def _tensors(content: Dict[str, Any]) -> Dict[str, Any]:
    return {key: value.tensor if isinstance(value, _Array) else value for key, value in content.items()}
