"""A tensor of the device that does not exist: its numbers lie in a CPU tensor, PyTorch's dispatcher takes it for CUDA's."""
from functools import partialmethod

import torch

CUDA = torch.device('cuda:0')


class VirtualTensor(torch.Tensor):
    """``inner`` holds the numbers, ``owner`` is the device.

    In C++ its device is 'meta' (autograd would ask the driver about another), in Python 'cuda:0'.
    """
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner, owner):
        with torch.inference_mode(inner.is_inference()):        # a view of a parameter is none, also in inference mode
            size = inner.untyped_storage().nbytes() // inner.element_size()
            like = torch.empty(size, dtype=inner.dtype, device='meta').as_strided(
                inner.size(), inner.stride(), inner.storage_offset())
            self = torch.Tensor._make_subclass(cls, like, False, device_for_backend_keys=CUDA)
        self.inner, self.owner = inner, owner
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        owner = next(x.owner for x in leaves((args, kwargs)) if isinstance(x, cls))
        return owner.run(func, args, kwargs or {})

    device, is_cuda = property(lambda self: CUDA), property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)

    def _set(self, value):
        torch.Tensor.data.__set__(self, value)
        self.inner = value.inner

    data = property(torch.Tensor.detach, _set)

    def numpy(self, *args, **kwargs):
        self.owner.refuse("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def to(self, *args, copy=False, **kwargs):
        if args and isinstance(args[0], torch.Tensor):
            args = (args[0].device, args[0].dtype, *args[1:])
        device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
        options = {} if layout is None else dict(memory_format=layout)
        if device is not None and device.type == 'cpu':
            return super().to(device, dtype or self.dtype, non_blocking, True, **options)
        return super().to(dtype or self.dtype, non_blocking, copy, **options)

    cpu, cuda = partialmethod(to, 'cpu'), partialmethod(to, CUDA)

    def tolist(self):
        return self.cpu().tolist()

    def record_stream(self, stream):
        pass

    def is_pinned(self, *args):
        return False

    def new_tensor(self, data, dtype=None, device=CUDA):
        return torch.tensor(data, dtype=dtype or self.dtype, device=device)

    def __getitem__(self, index):
        return super().__getitem__(_index(index))

    def __setitem__(self, index, value):
        super().__setitem__(_index(index), value)


def _index(index):
    """Lists and arrays become indices on the device, as in PyTorch."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    if isinstance(index, (list, range)) or type(index).__module__ == 'numpy' and getattr(index, 'ndim', 0):
        return torch.as_tensor(index, device=CUDA) if len(index) else torch.zeros(0, dtype=torch.long, device=CUDA)
    return index


def is_virtual(x):
    return isinstance(x, VirtualTensor)


def leaves(tree):
    """What stands in lists, tuples and dicts of lists, tuples and dicts; much faster than PyTorch's own function."""
    if isinstance(tree, (list, tuple)):
        for x in tree:
            yield from leaves(x)
    elif isinstance(tree, dict):
        yield from leaves(list(tree.values()))
    else:
        yield tree


def replaced(tree, change):
    """The same tree of what ``change`` makes of its leaves."""
    if isinstance(tree, (list, tuple)):
        return type(tree)([replaced(x, change) for x in tree])
    if isinstance(tree, dict):
        return {key: replaced(x, change) for key, x in tree.items()}
    return change(tree)
