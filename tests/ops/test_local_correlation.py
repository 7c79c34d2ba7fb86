"""Local correlation against its definition, written as loops."""
import pytest
import torch

from mmvis.ops.local_correlation import local_correlation


def slow(a, b, patch, kernel=(1, 1), stride=(1, 1), padding=(0, 0), dilation=(1, 1), spread=(1, 1)):
    num, channels, *size = a.shape
    out_size = [(size[k] + 2 * padding[k] - dilation[k] * (kernel[k] - 1) - 1) // stride[k] + 1 for k in (0, 1)]
    out = a.new_zeros(num, *patch, *out_size)
    for p in range(patch[0]):
        for q in range(patch[1]):
            for i in range(out_size[0]):
                for j in range(out_size[1]):
                    for u in range(kernel[0]):
                        for v in range(kernel[1]):
                            y = i * stride[0] - padding[0] + u * dilation[0]
                            x = j * stride[1] - padding[1] + v * dilation[1]
                            y2 = y + (p - (patch[0] - 1) // 2) * spread[0]
                            x2 = x + (q - (patch[1] - 1) // 2) * spread[1]
                            if 0 <= min(y, y2) and max(y, y2) < size[0] and 0 <= min(x, x2) and max(x, x2) < size[1]:
                                out[:, p, q, i, j] += (a[:, :, y, x] * b[:, :, y2, x2]).sum(1)
    return out


@pytest.mark.parametrize('options', [
    dict(patch=(4, 4), spread=(2, 2)),                                                # as CMaskTrack R-CNN, smaller
    dict(patch=(3, 5), kernel=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2)),
    dict(patch=(1, 2), kernel=(1, 3), stride=(1, 2), padding=(2, 0), dilation=(1, 1), spread=(1, 3)),
])
def test_agrees_with_the_definition(options):
    torch.manual_seed(0)
    a, b = torch.randn(2, 2, 3, 6, 7, dtype=torch.float64)
    names = dict(patch='patch_size', kernel='kernel_size', spread='patch_dilation')
    out = local_correlation(a, b, **{names.get(key, key): value for key, value in options.items()})
    torch.testing.assert_close(out, slow(a, b, **options))


def test_gradient():
    torch.manual_seed(0)
    a, b = (torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: local_correlation(a, b, 3, kernel_size=2, patch_dilation=2), (a, b))


def test_maps_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match='of one shape'):
        local_correlation(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 5), 3)
