"""The device that does not exist refuses what a GPU refuses, and counts what waits for one."""
import pytest
import torch

from virtual_cuda import VirtualCuda, VirtualTensor


@pytest.fixture
def device():
    with VirtualCuda() as device:
        yield device


def counts(device, *kinds):
    return [device.total(kind) for kind in kinds]


def test_a_tensor_of_the_cpu_does_not_meet_one_of_the_device(device):
    x = torch.ones(3, device='cuda')
    with pytest.raises(RuntimeError, match='two devices'):
        x + torch.ones(3)
    with pytest.raises(RuntimeError, match='Use Tensor.cpu'):
        x.numpy()
    with pytest.raises(RuntimeError, match='not implemented for integers'):
        x.long()[None] @ x.long()[:, None]
    assert (x + torch.tensor(2.)).tolist() == [3., 3., 3.]


def test_waits_and_uploads_are_counted(device):
    x = torch.tensor([1., 0., 2.]).to('cuda')
    assert counts(device, 'sync', 'upload') == [0, 1]
    x.nonzero(), x[x > 0], x.sum().item(), bool(x[0] > 0), x.cpu()
    assert counts(device, 'sync', 'upload', 'bytes') == [5, 1, 12]
    x[[0, 2]]
    assert counts(device, 'sync', 'upload') == [5, 2]
    (x * 2).masked_fill(x > 0, 0.)[:2].sum()
    assert counts(device, 'sync', 'upload') == [5, 2]


def test_pinned_memory_is_sent_without_a_wait(device):
    x = torch.arange(4.)
    x.to('cuda', non_blocking=True)                     # not pinned: the driver has to copy it first
    assert counts(device, 'upload', 'sent') == [1, 0]
    pinned = x.pin_memory()
    assert pinned.is_pinned() and not x.is_pinned() and torch.zeros(3, pin_memory=True).is_pinned()
    pinned.to('cuda', non_blocking=True)
    assert counts(device, 'upload', 'sent') == [1, 1]
    pinned.to('cuda')
    assert counts(device, 'upload', 'sent') == [2, 1]


def test_a_copy_that_nobody_waited_for_has_not_come(device):
    x = torch.arange(3.).to('cuda')
    target, event = torch.empty(3, pin_memory=True), torch.cuda.Event()
    target.copy_(x, non_blocking=True)
    event.record()
    late = x.add(1).to('cpu', non_blocking=True)
    assert counts(device, 'sync', 'download', 'bytes') == [0, 2, 24]
    assert target.isnan().all()
    event.synchronize()
    assert target.tolist() == [0., 1., 2.] and late.isnan().all()
    assert counts(device, 'sync') == [1]
    event.synchronize()                                 # it has passed already
    assert counts(device, 'sync') == [1]
    torch.cuda.current_stream().synchronize()
    assert late.tolist() == [1., 2., 3.] and counts(device, 'sync') == [2]
    torch.empty(3).copy_(x, non_blocking=True)          # not pinned: a wait
    assert counts(device, 'sync') == [3]


def test_a_copy_is_of_the_values_at_its_time(device):
    x = torch.zeros(2, device='cuda')
    early = x.to('cpu', non_blocking=True)
    x.add_(1)
    torch.cuda.synchronize()
    assert early.tolist() == [0., 0.]


def test_gradients_and_autocast(device):
    layer = torch.nn.Linear(3, 2).to('cuda')
    with torch.autocast('cuda', torch.bfloat16):
        out = layer(torch.ones(1, 3, device='cuda'))
    assert out.dtype == torch.bfloat16 and isinstance(out, VirtualTensor)
    out.float().sum().backward()
    assert layer.weight.grad.device.type == 'cuda' and layer.weight.grad.dtype == torch.float32


def test_types_follow_the_capability():
    for capability, real in (((7, 5), False), ((8, 0), True)):
        with VirtualCuda(capability):
            assert torch.cuda.is_bf16_supported() is True
            assert torch.cuda.is_bf16_supported(including_emulation=False) is real


def test_the_context_leaves_nothing_behind():
    with VirtualCuda():
        assert torch.cuda.is_available()
    assert not torch.cuda.is_available() and torch.cuda.Event.__module__.startswith('torch')
