"""Multi-scale deformable attention (Deformable DETR, Zhu et al., ICLR 2021, section 4.1) in plain PyTorch.

The usual fallback without a compiled kernel calls ``grid_sample`` once a level and holds every sampled vector.
Here the whole operation is one weighted ``embedding_bag``: the rows of the table are the value vectors of one
head at one place, and a bag holds the four corners of all sampling points of one (query, head). Nothing of the
size points x channels is ever made. On a CPU the gradient is two products of sparse matrices (SciPy's and PyTorch's).
"""
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.autograd.function import once_differentiable

from .transfer import constant


def ms_deform_attn(value: Tensor, spatial_shapes: Tensor, level_start_index: Tensor, sampling_locations: Tensor,
                   attention_weights: Tensor) -> Tensor:
    """Weighted sum of bilinear samples of several feature levels; zero outside a level; differentiable.

    Args:
        value: [B, S, M, D], S places of all levels one after another (row-major), M heads, D channels a head.
        spatial_shapes: int [L, 2], (height, width) of each level.
        level_start_index: int [L], the first place of each level in S.
        sampling_locations: [B, Q, M, L, P, 2], (x, y) in units of the level's width and height; 0 and 1 are the
            outer edges of the first and last pixel.
        attention_weights: [B, Q, M, L, P].

    Returns:
        [B, Q, M * D] in the dtype of ``value``.
    """
    shapes = [tuple(shape) for shape in spatial_shapes.tolist()]
    batch, num_places, heads, channels = value.shape
    area = sum(height * width for height, width in shapes)
    if area != num_places:
        raise ValueError(f'value has {num_places} places but spatial_shapes {shapes} have {area}')
    if sampling_locations.dtype in (torch.float16, torch.bfloat16):  # too coarse to name a pixel
        sampling_locations = sampling_locations.float()
    table, level_starts = _bordered_table(value, shapes, level_start_index.tolist())
    attend = _Attend.apply if value.device.type == 'cpu' and torch.is_grad_enabled() else _attend
    out = attend(table, sampling_locations, attention_weights, shapes, level_starts)
    return out.view(batch, sampling_locations.shape[1], heads * channels)


def _bordered_table(value: Tensor, shapes: list, starts: list) -> tuple[Tensor, list[int]]:
    """Value with a border of zeros round every level: [B, places with borders, M, D], and each level's first place.

    A row has one zero column more than the level, which is the right border of its row and the left border of the
    next; so a corner outside the level reads zeros and needs no mask.
    """
    batch, _, heads, channels = value.shape
    levels, level_starts, place = [], [], 0
    for (height, width), start in zip(shapes, starts):
        level = value[:, start:start + height * width].reshape(batch, height, width, heads * channels)
        level = F.pad(level, (0, 0, 1, 0, 1, 1)).flatten(1, 2)
        levels.append(level)
        level_starts.append(place)
        place += level.shape[1]
    # One more place: the right border of the last row of the last level.
    levels.append(value.new_zeros(batch, 1, heads * channels))
    return torch.cat(levels, dim=1).view(batch, -1, heads, channels), level_starts


def _attend(table: Tensor, locations: Tensor, attention: Tensor, shapes: list, level_starts: list) -> Tensor:
    """[B * Q * M, D] from a bordered table [B, places, M, D]."""
    return _weighted_sum(table, *_corners(shapes, level_starts, table.shape[1], locations), attention)


def _corners(shapes: list, level_starts: list, places: int, locations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Table rows of the four corners of every point, int32 [B * Q * M, 4 * L * P], and the parts of the way from the
    left to the right and from the upper to the lower corners, [B * Q * M, L * P] each."""
    batch, queries, heads, levels, points, _ = locations.shape
    device, dtype = locations.device, locations.dtype

    def by_level(values, dtype):  # one number a level, laid out like the points: [M * L * P]
        per_level = constant(tuple(values), device, dtype).view(levels, 1)
        return per_level.expand(heads, levels, points).reshape(-1)

    def per_bag(x):
        return x.reshape(batch * queries * heads, levels * points)

    # Everything is [B, Q, M * L * P], so that constants broadcast over long contiguous rows.
    x, y = locations.reshape(batch, queries, heads * levels * points, 2).unbind(-1)
    heights, widths = zip(*shapes)
    x_floor, x_part = _floor_inside(x.contiguous(), by_level(widths, dtype))
    y_floor, y_part = _floor_inside(y.contiguous(), by_level(heights, dtype))

    row_step = by_level([(width + 1) * heads for width in widths], torch.int32)
    first = by_level([(start + width + 2) * heads for start, width in zip(level_starts, widths)], torch.int32)
    first = first + torch.arange(heads, dtype=torch.int32, device=device).repeat_interleave(levels * points)
    first = first + torch.arange(batch, dtype=torch.int32, device=device).view(-1, 1, 1) * (places * heads)
    top = y_floor.to(torch.int32).mul_(row_step).add_(x_floor.to(torch.int32).mul_(heads)).add_(first)
    bottom = top + row_step
    corners = torch.stack([per_bag(rows) for rows in (top, top + heads, bottom, bottom + heads)], dim=1)
    return corners.flatten(1), per_bag(x_part), per_bag(y_part)


def _weighted_sum(table: Tensor, corners: Tensor, x_part: Tensor, y_part: Tensor, attention: Tensor) -> Tensor:
    """Sum over the points of attention times bilinear sample; ``corners`` and parts as ``_corners`` gives them."""
    weights = _corner_weights(x_part, y_part, attention.reshape(x_part.shape)).to(table.dtype)
    return F.embedding_bag(corners, table.reshape(-1, table.shape[-1]), per_sample_weights=weights, mode='sum')


def _corner_weights(x_part: Tensor, y_part: Tensor, attention: Tensor) -> Tensor:
    """Float [B * Q * M, 4 * L * P], in the order of the corners: upper left, upper right, lower left, lower right."""
    lower = attention * y_part
    upper = attention - lower
    upper_right, lower_right = upper * x_part, lower * x_part
    return torch.stack([upper - upper_right, upper_right, lower - lower_right, lower_right], dim=1).flatten(1)


class _Attend(torch.autograd.Function):
    """``_attend`` with its own gradient, for CPUs: five times as fast as that of ``embedding_bag``.

    The output is A @ table, where row b of the sparse matrix A has the weights of bag b in the columns
    ``corners[b]``; a column may occur more than once.
    """

    @staticmethod
    def forward(ctx, table, locations, attention, shapes, level_starts):
        corners, x_part, y_part = _corners(shapes, level_starts, table.shape[1], locations)
        ctx.save_for_backward(table, locations, attention, corners, x_part, y_part)
        ctx.shapes = shapes
        return _weighted_sum(table, corners, x_part, y_part, attention)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        table, locations, attention, corners, x_part, y_part = ctx.saved_tensors
        dtype = torch.promote_types(table.dtype, torch.float32)             # no sparse matrices of 16 bits
        grad, x_part, y_part = grad.to(dtype).contiguous(), x_part.to(dtype), y_part.to(dtype)
        bag_attention = attention.reshape(x_part.shape).to(dtype)
        rows = table.reshape(-1, table.shape[-1])
        grad_table = grad_locations = grad_attention = None
        if ctx.needs_input_grad[0]:
            weights = _corner_weights(x_part, y_part, bag_attention)
            grad_table = _scatter(weights, corners, grad, len(rows)).view(table.shape)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            products = _products(corners, grad, rows.to(dtype))
            products = products.view(len(corners), 4, x_part.shape[1])
            upper_left, upper_right, lower_left, lower_right = products.unbind(1)
            upper, lower = upper_left.lerp(upper_right, x_part), lower_left.lerp(lower_right, x_part)
            grad_attention = upper.lerp(lower, y_part).view(attention.shape)
            grad_x = (upper_right - upper_left).lerp(lower_right - lower_left, y_part) * bag_attention
            grad_y = (lower - upper) * bag_attention
            grad_locations = _pixels_to_units(torch.stack([grad_x, grad_y], dim=-1), locations, ctx.shapes)
        return grad_table, grad_locations, grad_attention, None, None


def _scatter(weights: Tensor, corners: Tensor, grad: Tensor, num_rows: int) -> Tensor:
    """A.T @ grad: the gradient [B * Q * M, D] of every bag, weighted, added to all rows of its corners."""
    starts = np.arange(len(corners) + 1) * corners.shape[1]
    matrix = csr_matrix((weights.flatten().numpy(), corners.flatten().numpy(), starts), (len(corners), num_rows))
    return torch.from_numpy(matrix.T @ grad.numpy())


def _products(corners: Tensor, grad: Tensor, rows: Tensor) -> Tensor:
    """Scalar products of the gradient of every bag and the rows of its corners: those entries of grad @ rows.T."""
    starts = torch.arange(len(corners) + 1, dtype=corners.dtype) * corners.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)                        # that sparse tensors are in beta state
        out = torch.sparse_csr_tensor(starts, corners.flatten(), grad.new_zeros(corners.numel()),
                                      (len(corners), len(rows)), check_invariants=False)
    return torch.sparse.sampled_addmm(out, grad, rows.T, beta=0, out=out).values()


def _pixels_to_units(grad: Tensor, locations: Tensor, shapes: list) -> Tensor:
    """Gradient of the places in pixels to that of ``locations``; zero beyond the border, as of ``grid_sample``."""
    sizes = torch.tensor(shapes, dtype=locations.dtype).flip(-1)[:, None].expand(locations.shape[2:]).contiguous()
    pixels = locations * sizes - 0.5
    return (grad.view(locations.shape) * sizes).masked_fill_((pixels < -1) | (pixels >= sizes), 0)


def _floor_inside(location: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel before the location, from -1 to size - 1, and the part of the way to the next one, in [0, 1]."""
    pixel = (location * size - 0.5).clamp(min=-1).minimum(size)
    floor = pixel.detach().floor().minimum(size - 1)
    floor = floor.nan_to_num_(nan=-1)  # a NaN stays in the weight; as an index it would read foreign memory
    return floor, pixel - floor


def ms_deform_attn_forward(value, value_spatial_shapes, value_level_start_index, sampling_locations,
                           attention_weights, im2col_step):
    """The op that ``mmcv.ops.MultiScaleDeformableAttnFunction`` calls; ``im2col_step`` changes nothing."""
    return ms_deform_attn(value, value_spatial_shapes, value_level_start_index, sampling_locations, attention_weights)


def ms_deform_attn_backward(value, value_spatial_shapes, value_level_start_index, sampling_locations,
                            attention_weights, grad_output, grad_value, grad_sampling_loc, grad_attn_weight,
                            im2col_step):
    """Fills the three gradients in place (computes the forward pass once more)."""
    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x in (value, sampling_locations, attention_weights)]
        output = ms_deform_attn(inputs[0], value_spatial_shapes, value_level_start_index, *inputs[1:])
        grads = torch.autograd.grad(output, inputs, grad_output)
    for target, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads):
        target.copy_(grad)
