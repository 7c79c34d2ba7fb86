import math

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch
from torch.autograd import gradcheck

from mmvis.ops.deform_attn import ms_deform_attn

SHAPES = torch.tensor([[4, 5], [1, 3], [2, 1]])
STARTS = torch.tensor([0, 20, 23])


def make(batch=2, queries=3, heads=2, channels=4, points=2, seed=0, low=-0.3, high=1.3):
    """Float64 value, sampling_locations (inside and outside the levels), attention_weights."""
    g = torch.Generator().manual_seed(seed)
    value = torch.randn(batch, 25, heads, channels, dtype=torch.float64, generator=g)
    locations = torch.rand(batch, queries, heads, 3, points, 2, dtype=torch.float64, generator=g) * (high - low) + low
    attention = torch.rand(batch, queries, heads, 3 * points, dtype=torch.float64, generator=g).softmax(-1)
    return value, locations, attention.view(batch, queries, heads, 3, points)


def attend(value, locations, attention):
    return ms_deform_attn(value, SHAPES, STARTS, locations, attention)


def reference(value, locations, attention):
    batch, queries, heads, levels, points, _ = locations.shape
    out = torch.zeros(batch, queries, heads, value.shape[3], dtype=value.dtype)
    for b, q, m, level, p in torch.cartesian_prod(*map(torch.arange, locations.shape[:5])).tolist():
        height, width = SHAPES[level].tolist()
        x = float(locations[b, q, m, level, p, 0]) * width - 0.5
        y = float(locations[b, q, m, level, p, 1]) * height - 0.5
        x0, y0 = math.floor(x), math.floor(y)
        for yy, wy in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
            for xx, wx in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
                if 0 <= yy < height and 0 <= xx < width:
                    row = value[b, int(STARTS[level]) + yy * width + xx, m]
                    out[b, q, m] += attention[b, q, m, level, p] * wy * wx * row
    return out.flatten(2)


def test_agrees_with_the_definition():
    inputs = make(queries=20)
    torch.testing.assert_close(attend(*inputs), reference(*inputs), rtol=1e-9, atol=1e-9)
    single = attend(*(x.float() for x in inputs))
    torch.testing.assert_close(single, reference(*inputs).float(), rtol=1e-4, atol=1e-5)


def test_places_on_and_beyond_the_border():
    value, locations, attention = make(queries=36)
    edges = torch.tensor([-1e6, -0.5, -0.1, 0.0, 0.5, 1.0, 1.1, 2.0, 1e6], dtype=torch.float64)
    grid = torch.cartesian_prod(edges, edges).repeat(11, 1)[:2 * 36 * 2 * 3 * 2]
    inputs = value, grid.view_as(locations), attention
    torch.testing.assert_close(attend(*inputs), reference(*inputs), rtol=1e-9, atol=1e-9)


def test_gradient():
    assert gradcheck(attend, [x.requires_grad_() for x in make()])


def test_gradient_agrees_with_grid_sample():
    ours, theirs = ([x.requires_grad_() for x in make(queries=30)] for _ in range(2))
    attend(*ours).square().sum().backward()
    multi_scale_deformable_attn_pytorch(theirs[0], SHAPES, *theirs[1:]).square().sum().backward()
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-9)


def compare_with_grid_sample(shapes, value, locations, attention):
    shapes = torch.tensor(shapes)
    starts = shapes.prod(1).cumsum(0) - shapes.prod(1)
    ours, theirs = ([x.clone().requires_grad_() for x in (value, locations, attention)] for _ in range(2))
    out = ms_deform_attn(ours[0], shapes, starts, *ours[1:])
    out.square().sum().backward()
    multi_scale_deformable_attn_pytorch(theirs[0], shapes, *theirs[1:]).square().sum().backward()
    with torch.no_grad():
        assert torch.equal(out, ms_deform_attn(ours[0], shapes, starts, *ours[1:]))
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-9)


def test_gradient_on_pixels_and_borders():
    pixels = torch.tensor([-1e6, -1.5, -1, -0.75, 0, 1, 1.5, 2, 3, 3.5, 4, 4.5, 7, 8, 1e6], dtype=torch.float64)
    places = torch.cartesian_prod(pixels, pixels)
    shapes = [[4, 8], [2, 1]]                                   # powers of two: the locations are met exactly
    locations = torch.stack([(places + 0.5) / torch.tensor(shape[::-1]) for shape in shapes], dim=1)
    g = torch.Generator().manual_seed(5)
    value = torch.randn(1, 34, 2, 3, dtype=torch.float64, generator=g)
    attention = torch.rand(1, len(places), 2, 2, 1, dtype=torch.float64, generator=g)
    compare_with_grid_sample(shapes, value, locations[None, :, None, :, None].repeat(1, 1, 2, 1, 1, 1), attention)


@pytest.mark.parametrize('batch, heads, channels, shapes, points', [
    (1, 1, 1, [[3, 4]], 1), (3, 3, 5, [[1, 1], [2, 6], [5, 3], [4, 4]], 3), (2, 2, 33, [[6, 2], [1, 7]], 5)])
def test_gradient_of_other_numbers(batch, heads, channels, shapes, points):
    g = torch.Generator().manual_seed(6)
    places = sum(height * width for height, width in shapes)
    locations = torch.rand(batch, 9, heads, len(shapes), points, 2, dtype=torch.float64, generator=g) * 1.6 - 0.3
    attention = torch.rand(locations.shape[:-1], dtype=torch.float64, generator=g)
    value = torch.randn(batch, places, heads, channels, dtype=torch.float64, generator=g)
    compare_with_grid_sample(shapes, value, locations, attention)


@pytest.mark.parametrize('wanted', [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_gradient_of_some_inputs(wanted):
    def gradients(which):
        inputs = make(queries=7)
        for index in which:
            inputs[index].requires_grad_()
        attend(*inputs).square().sum().backward()
        return [x.grad for x in inputs]
    for index, (some, every) in enumerate(zip(gradients(wanted), gradients(range(3)))):
        assert torch.equal(some, every) if index in wanted else some is None


@pytest.mark.parametrize('dtypes, tolerance', [
    ((torch.float32, torch.float32, torch.float32), 1e-4), ((torch.float32, torch.float64, torch.float32), 1e-4),
    ((torch.float64, torch.float32, torch.float64), 1e-4), ((torch.bfloat16, torch.float32, torch.float32), 0.03),
    ((torch.bfloat16, torch.float32, torch.bfloat16), 0.03), ((torch.float16, torch.float32, torch.float16), 0.01)])
def test_gradient_of_other_types(dtypes, tolerance):
    exact = [x.requires_grad_() for x in make(queries=20)]
    attend(*exact).sum().backward()
    inputs = [x.to(dtype).requires_grad_() for x, dtype in zip(make(queries=20), dtypes)]
    with torch.autocast('cpu', torch.bfloat16, enabled=torch.float16 not in dtypes):
        attend(*inputs).sum().backward()
    for a, b in zip(inputs, exact):
        assert a.grad.dtype == a.dtype
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=tolerance, atol=tolerance)


def test_gradient_without_queries():
    value, locations, attention = (x.requires_grad_() for x in make())
    attend(value, locations[:, :0], attention[:, :0]).sum().backward()
    assert not value.grad.any()


def test_levels_may_stand_in_any_order():
    value, locations, attention = make()
    swapped = torch.cat([value[:, 20:], value[:, :20]], 1)
    out = ms_deform_attn(swapped, SHAPES, torch.tensor([5, 0, 3]), locations, attention)
    torch.testing.assert_close(out, attend(value, locations, attention))


def test_inputs_need_not_be_contiguous():
    inputs = make(batch=3, queries=5)
    strided = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in inputs]
    assert not strided[2].is_contiguous()
    assert torch.equal(attend(*strided), attend(*inputs))


def test_through_mmcv():
    inputs = [x.requires_grad_() for x in make(seed=3)]

    def op(value, locations, attention):
        return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, attention, 64)
    torch.testing.assert_close(op(*inputs), attend(*inputs))
    assert gradcheck(op, inputs)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_16_bit_values(dtype):
    value, locations, attention = make(low=0.1, high=0.9)
    out = attend(value.to(dtype), locations.float(), attention.float())
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), reference(value, locations, attention), rtol=0.02, atol=0.02)


def test_nan_location_gives_nan_in_its_query_alone():
    value, locations, attention = make(queries=4)
    locations[0, 2, 1, 0, 0, 0] = math.nan
    out = attend(value, locations, attention).view(2, 4, 2, 4)
    assert out[0, 2, 1].isnan().all() and out.isnan().sum() == 4


def test_no_queries_and_wrong_shapes():
    value, locations, attention = make()
    assert attend(value, locations[:, :0], attention[:, :0]).shape == (2, 0, 8)
    with pytest.raises(ValueError, match='value has 24 places but spatial_shapes .* have 25'):
        attend(value[:, :24], locations, attention)
