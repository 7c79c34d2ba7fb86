"""A CUDA device that does not exist: finds on a CPU what would fail, or wait, on a GPU.

    with VirtualCuda() as device:
        model = build().to('cuda')
        model.loss(...).backward()              # raises where a tensor of the CPU meets one of the device
    print(device.report())                      # waits for the device and blocking copies, by line of the code under test

Every operator runs below autograd, where PyTorch's dispatcher sees the keys of CUDA (see tensor.py). Checked there: no
CPU tensor beside one of the device (but 0-dimensional operands of pointwise operators, indices, copies); no product of
integers, which CUDA lacks; no NumPy. Counted, by line:

'sync'      waits for the device: item, tolist, bool, nonzero, boolean indices, unique, NMS, copies to the host, waiting
            for an event that the device has not been waited for since
'upload'    copies to the device that wait: all but non-blocking ones out of pinned memory
'sent'      those that do not
'download'  non-blocking copies into pinned memory (see copies.py)
'bytes'     that went to the host, either way

Limits: kernels are those of the CPU (no speed, launch limits, memory, summation order of CUDA); one device, all streams
are one, no NCCL; foreach optimizers take the loop; ``nn.Module.to`` swaps parameters, so a model must not be in a graph
before.
"""
import sys
from collections import Counter
from contextlib import ExitStack, nullcontext
from functools import lru_cache
from types import SimpleNamespace
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from .autocast import cuda_autocast
from .copies import Copies, events_and_streams
from .tensor import CUDA, VirtualTensor, is_virtual, leaves, replaced

#: Operators whose result has a size that only the device knows, or is a number for the CPU.
WAITS = ('nonzero', 'masked_select', '_unique2', 'unique_dim', 'unique_consecutive', 'bincount', 'histc', 'nms',
         'equal', '_local_scalar_dense')
PRODUCTS = ('mm', 'bmm', 'addmm', 'baddbmm', 'addmv', 'mv', 'dot', 'convolution', 'convolution_backward')
#: Operators that take 0-dimensional CPU tensors and are not tagged as pointwise.
TAKES_SCALARS = ('fill_', 'masked_fill', 'masked_fill_', 'clamp', 'clamp_')
_has_kernel = lru_cache(maxsize=None)(torch._C._dispatch_has_kernel_for_dispatch_key)


class VirtualCuda:
    """The device, as a context.

    Args:
        capability: (8, 0) is an A100, (7, 5) a T4.
        package: the code under test, whose lines are named.

    Attributes:
        events: (kind, what, line) -> how often.
        launches: operators that start a kernel.
    """

    def __init__(self, capability=(8, 0), package='mmvis'):
        self.capability, self.package = capability, package
        self.events, self.launches, self.copies, self.mode = Counter(), 0, Copies(), _Mode()
        self.mode.device = self

    def __deepcopy__(self, memo):                   # a copy of a tensor is on the same device
        return self

    def __enter__(self):
        self.stack = ExitStack()
        for target, name, value in self._stand_ins():
            self.stack.enter_context(mock.patch.object(target, name, value, create=True))
        swaps = torch.__future__.set_swap_module_params_on_conversion
        self.stack.callback(swaps, torch.__future__.get_swap_module_params_on_conversion())
        swaps(True)
        for context in (cuda_autocast(), _Calls(self), self.mode):
            self.stack.enter_context(context)
        return self

    def __exit__(self, *error):
        self.stack.close()

    def _stand_ins(self):
        """What torch.cuda says, and mmengine, which has asked when it was imported."""
        about = SimpleNamespace(name='virtual', major=self.capability[0], minor=self.capability[1])
        emulated, real = self.capability >= (7, 0), self.capability >= (8, 0)
        cuda = dict(is_available=True, device_count=1, current_device=0, is_initialized=True, _lazy_init=None,
                    get_device_name='virtual', get_device_properties=about, get_device_capability=self.capability,
                    set_device=None, manual_seed=None, manual_seed_all=None, empty_cache=None, device=nullcontext(),
                    max_memory_allocated=0, reset_peak_memory_stats=None)
        general = dict(is_available=True, current_accelerator=torch.device('cuda'))
        for module, answers in ((torch.cuda, cuda), (torch.accelerator, general)):
            for name, answer in answers.items():
                yield module, name, lambda *args, answer=answer, **kwargs: answer
        for name, value in events_and_streams(self).items():
            yield torch.cuda, name, value
        yield torch.accelerator, 'current_stream', lambda *args: torch.cuda.current_stream()
        yield torch.cuda, 'is_bf16_supported', lambda including_emulation=True: emulated if including_emulation else real
        yield torch.cuda, 'synchronize', lambda *args: self.note('sync', 'synchronize')
        yield torch.cuda, 'get_rng_state', lambda *args: torch.get_rng_state()
        yield torch.cuda, 'set_rng_state', lambda state, *args: torch.set_rng_state(state)
        yield torch.Tensor, 'pin_memory', lambda tensor, *args: self.copies.pin(tensor.clone())
        yield torch.Tensor, 'is_pinned', self._is_pinned()
        if 'mmengine.device.utils' in sys.modules:
            yield sys.modules['mmengine.device.utils'], 'DEVICE', 'cuda'

    def _is_pinned(self):
        return lambda tensor, *args: self.copies.is_pinned(tensor)

    def run(self, func, args, kwargs):
        """One operator: check, count, compute on the real tensors, wrap."""
        if _has_kernel(func.name(), 'CompositeImplicitAutograd'):   # in inference mode they come here whole
            with self.mode:
                return func.decompose(*args, **kwargs)
        tensors = [x for x in leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        virtual, device, name = any(map(is_virtual, tensors)), kwargs.get('device'), func._schema.name.split('::')[1]
        on_device = virtual if device is None else device.type != 'cpu'
        if not (virtual or on_device):
            return func(*args, **kwargs)
        self.copies.now += 1
        self._check(func, name, tensors, args)
        self._count(func, name, args, kwargs)
        way = self._note_copy(name, args, kwargs, on_device) if name in ('_to_copy', 'copy_') else ''
        own = {id(x.inner if is_virtual(x) else x): x for x in tensors}
        args, kwargs = replaced(args, _real), replaced(kwargs, _real)
        if name == '_to_copy' and virtual != on_device:
            args = (args[0].clone(),)                               # a transfer never shares memory
        if way == 'download':
            return self._download(func, name, args, kwargs)

        def wrap(x):
            if not isinstance(x, torch.Tensor):
                return x
            return own[id(x)] if id(x) in own else VirtualTensor(x, self) if on_device else x
        return replaced(_compute(func, name, args, kwargs), wrap)

    def _download(self, func, name, args, kwargs):
        value = func(*args, **kwargs) if name == '_to_copy' else args[1].to(args[0].dtype, copy=True).expand_as(args[0])
        target = self.copies.pin(torch.empty_like(value)) if name == '_to_copy' else args[0]
        self.copies.start(target, value)
        return target

    def _check(self, func, name, tensors, args):
        others = [x for x in tensors if not is_virtual(x) and name not in ('_to_copy', 'copy_')]
        scalars = torch.Tag.pointwise in func.tags or name in TAKES_SCALARS or name.startswith('_foreach')
        if name == 'index' or 'index_put' in name:
            if not is_virtual(args[0]):
                self.refuse('indices should be either on cpu or on the same device as the indexed tensor (cpu)')
            scalars, others = True, [x for x in args[2:3] if not is_virtual(x)]
        if any(x.dim() or not scalars for x in others) or name[-1] == '_' and others and args[0] is others[0]:
            self.refuse(f'Expected all tensors to be on the same device, but found at least two devices, cuda:0 and '
                        f'cpu! ({func}, on the CPU: {[tuple(x.shape) for x in others]})')
        if name in PRODUCTS and not all(x.is_floating_point() or x.is_complex() for x in tensors):
            self.refuse(f'"{name}_cuda" not implemented for integers')

    def _count(self, func, name, args, kwargs):
        view = any(x.alias_info is not None and not x.alias_info.is_write for x in func._schema.returns)
        self.launches += not (view or name.startswith('empty') or name in ('_unsafe_view', '_reshape_alias'))
        if name == 'index' or 'index_put' in name:
            indices = [x for x in args[1] if x is not None]
            filled = name != 'index' and len(indices) == 1 and args[2].dim() == 0       # PyTorch makes it masked_fill
            if not all(map(is_virtual, indices)):
                self.note('upload', 'index of the CPU')
            if any(x.dtype in (torch.bool, torch.uint8) for x in indices) and not filled:
                self.note('sync', 'boolean index')
        elif name in WAITS or name == 'repeat_interleave' and kwargs.get('output_size') is None:
            self.note('sync', name)

    def _note_copy(self, name, args, kwargs, on_device):
        """Book a copy between host and device; its kind ('' for one that stays on one of them)."""
        source, to_device = (args[0], on_device) if name == '_to_copy' else (args[1], is_virtual(args[0]))
        if is_virtual(source) == to_device:
            return ''
        no_wait = kwargs.get('non_blocking') or name == 'copy_' and len(args) > 2 and args[2]
        if to_device:
            kind = 'sent' if no_wait and self.copies.is_pinned(source) else 'upload'
        else:
            pinned = name == '_to_copy' or self.copies.is_pinned(args[0])       # PyTorch pins what it makes itself
            kind = 'download' if no_wait and pinned else 'sync'
            self.note('bytes', name, source.numel() * source.element_size())
        self.note(kind, name)
        return kind

    def refuse(self, message):
        raise RuntimeError(f'{message} [at {self.note("error", message)}]')

    def note(self, kind, what, number=1):
        """Book an event on the innermost line of the package under test."""
        frame, here = sys._getframe(1), f'/{self.package}/'
        while frame is not None and here not in frame.f_code.co_filename:
            frame = frame.f_back
        line = 'elsewhere' if frame is None else f'{frame.f_code.co_filename.rsplit(here, 1)[1]}:{frame.f_lineno}'
        self.events[kind, what, line] += number
        if kind == 'sync' and what != 'event':
            self.copies.wait()
        return line

    def total(self, kind):
        return sum(number for key, number in self.events.items() if key[0] == kind)

    def report(self, kinds=('error', 'sync', 'upload', 'sent', 'download', 'bytes')):
        lines = [f'{number:6d} {kind:8} {what[:60]:24} {line}' for (kind, what, line), number
                 in self.events.most_common() if kind in kinds]
        return '\n'.join([', '.join(f'{x} {self.total(x)}' for x in kinds) + f', launches {self.launches}', *lines])


class _Mode(TorchDispatchMode):
    """Hands every operator to the device, also those without a tensor of it."""
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.device.run(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """Calls that would ask the driver on their way through C++: there the device is called 'meta'."""

    def __init__(self, device):
        super().__init__()
        self.owner = device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = {key: _meta(value) if key == 'device' else value for key, value in (kwargs or {}).items()}
        if func is torch.Tensor.cuda:
            return args[0].to(CUDA)
        if kwargs.pop('pin_memory', False):
            return self.owner.copies.pin(func(*args, **kwargs))
        if func in (torch.tensor, torch.as_tensor) and kwargs.get('device') is not None:
            device = kwargs.pop('device')                           # they copy from the CPU past the dispatcher
            return func(*args, **kwargs).to(device)
        return func(args[0], *map(_meta, args[1:]), **kwargs) if func is torch.Tensor.to else func(*args, **kwargs)


def _meta(x):
    return 'meta' if isinstance(x, (str, torch.device)) and torch.device(x).type == 'cuda' else x


def _real(x):
    return x.inner if is_virtual(x) else torch.device('cpu') if isinstance(x, torch.device) else x


def _compute(func, name, args, kwargs):
    """Run on the CPU; 16-bit products, which are slow there, and what has no 16-bit kernel go through float32."""
    tensors = [x for x in leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    half = next((x.dtype for x in tensors if x.dtype in (torch.float16, torch.bfloat16)), None)
    if half is None or name not in PRODUCTS or len({x.dtype for x in tensors}) > 1:
        try:
            return func(*args, **kwargs)
        except (RuntimeError, NotImplementedError) as error:
            if half is None or 'not implemented for' not in str(error):
                raise
    out = func(*replaced(args, lambda x: x.float() if isinstance(x, torch.Tensor) and x.dtype == half else x), **kwargs)
    return replaced(out, lambda x: x.to(half) if isinstance(x, torch.Tensor) and x.dtype == torch.float32 else x)
