"""``torch.autocast('cuda')`` for tensors of the virtual device.

PyTorch's own kernels ask for the device in C++ and would leave these tensors alone: the same lists, in Python.
"""
import re
from contextlib import contextmanager
from pathlib import Path

import torch

from .tensor import is_virtual, leaves, replaced


@contextmanager
def cuda_autocast():
    text = (Path(torch.__file__).parent / 'include/ATen/autocast_mode.h').read_text()
    with torch.library._scoped_library('aten', 'IMPL') as library:
        for rule in ('LOWER_PRECISION_FP', 'FP32', 'FP32_SET_OPT_DTYPE', 'PROMOTE'):
            body = re.search(rf'#define AT_FORALL_{rule}\(_\)(.*?)\n\n', text, re.S)[1]
            for name, overload in re.findall(r'_\((\w+)(?:, *(\w+))?\)', body):
                func = getattr(getattr(torch.ops.aten, name, None), overload or 'default', None)
                if func is not None:
                    library.impl(func, _casting(func, rule), 'AutocastCUDA', allow_override=True)
        yield


def _casting(func, rule):
    names = [argument.name for argument in func._schema.arguments]

    def casts(x):
        return is_virtual(x) and x.is_floating_point() and x.dtype != torch.float64

    def kernel(*args, **kwargs):
        types = {x.dtype for x in leaves((args, kwargs)) if casts(x)}
        low = rule == 'LOWER_PRECISION_FP' or rule == 'PROMOTE' and torch.float32 not in types
        to = torch.get_autocast_dtype('cuda') if low else torch.float32
        with torch._C._DisableAutocast():
            if rule != 'FP32_SET_OPT_DTYPE':
                args, kwargs = replaced((args, kwargs), lambda x: x.to(to) if casts(x) else x)
            elif types and {**dict(zip(names, args)), **kwargs}.get('dtype') is None:
                args, kwargs = args[:names.index('dtype')], {**kwargs, 'dtype': to}
            return func(*args, **kwargs)
    return kernel
