"""What goes to a GPU, or comes from it, in one copy."""
import numpy as np
import pytest
import torch
from virtual_cuda import VirtualCuda

from mmvis.ops.transfer import each_to_device, masks_to_host, pack_bits, to_host

TENSORS = [torch.arange(3), torch.tensor([True, False, True]), torch.zeros(0, 2), torch.rand(2, 3), torch.arange(5).half()]


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
def test_tensors_of_several_types_travel_together(device):
    with VirtualCuda() as virtual:
        there = each_to_device(TENSORS, device)
        assert {x.device.type for x in there} == {device}
        back = to_host(*there)
        for old, new in zip(TENSORS, back):
            assert new.dtype == old.dtype and torch.equal(new, old)
        assert each_to_device([], device) == []
    assert [virtual.total(kind) for kind in ('sent', 'upload', 'sync')] == ([1, 0, 1] if device == 'cuda' else [0, 0, 0])


@pytest.mark.parametrize('width', [1, 8, 13])
def test_masks_travel_as_bits(width):
    masks, scores = torch.rand(4, 5, width) > 0.5, torch.rand(4)
    np.testing.assert_array_equal(pack_bits(masks), np.packbits(masks.numpy(), axis=-1))
    with VirtualCuda() as device:
        found, other = masks_to_host(masks.to('cuda'), scores.to('cuda'))
    assert found.dtype == bool and torch.equal(other, scores)
    np.testing.assert_array_equal(found, masks)
    assert [device.total(kind) for kind in ('sync', 'bytes')] == [1, 4 * 5 * -(-width // 8) + 16]
