"""Multi-scale deformable attention (Deformable DETR, Zhu et al., ICLR 2021, section 4.1) in plain PyTorch.

The usual fallback without a compiled kernel calls ``grid_sample`` once a level and holds every sampled vector.
Here the whole operation is one weighted ``embedding_bag``: the rows of the table are the value vectors of one
head at one place, and a bag holds the four corners of all sampling points of one (query, head). Nothing of the
size points x channels is ever made.
"""
import warnings

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.autograd.function import once_differentiable


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
    indices, weights = _bags(shapes, level_starts, table.shape[1], sampling_locations, attention_weights)
    bag_sums = _BagSums.apply if table.device.type == 'cpu' and torch.is_grad_enabled() else _bag_sums
    out = bag_sums(table.reshape(-1, channels), indices, weights.to(value.dtype))
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


def _bags(shapes: list, level_starts: list, places: int, locations: Tensor,
          attention: Tensor) -> tuple[Tensor, Tensor]:
    """Table rows and weights of the four corners: int32 and float [B * Q * M, 4 * L * P]."""
    batch, queries, heads, levels, points, _ = locations.shape
    device, dtype = locations.device, locations.dtype

    def constant(values, dtype):  # one number a level, laid out like the points: [M * L * P]
        per_level = torch.tensor(values, dtype=dtype, device=device).view(levels, 1)
        return per_level.expand(heads, levels, points).reshape(-1)

    # Everything is [B, Q, M * L * P], so that constants broadcast over long contiguous rows.
    x, y = locations.reshape(batch, queries, heads * levels * points, 2).unbind(-1)
    heights, widths = zip(*shapes)
    x_floor, x_part = _floor_inside(x.contiguous(), constant(widths, dtype))
    y_floor, y_part = _floor_inside(y.contiguous(), constant(heights, dtype))

    row_step = constant([(width + 1) * heads for width in widths], torch.int32)
    first = constant([(start + width + 2) * heads for start, width in zip(level_starts, widths)], torch.int32)
    first = first + torch.arange(heads, dtype=torch.int32, device=device).repeat_interleave(levels * points)
    first = first + torch.arange(batch, dtype=torch.int32, device=device).view(-1, 1, 1) * (places * heads)
    top = y_floor.to(torch.int32).mul_(row_step).add_(x_floor.to(torch.int32).mul_(heads)).add_(first)
    bottom = top + row_step
    corners = (top, top + heads, bottom, bottom + heads)

    attention = attention.reshape(batch, queries, heads * levels * points)
    weight_bottom = attention * y_part
    weight_top = attention - weight_bottom
    top_right, bottom_right = weight_top * x_part, weight_bottom * x_part
    weights = (weight_top - top_right, top_right, weight_bottom - bottom_right, bottom_right)

    def gather(parts):
        parts = [part.reshape(batch * queries * heads, levels * points) for part in parts]
        return torch.stack(parts, dim=1).flatten(1)
    return gather(corners), gather(weights)


def _bag_sums(table: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the table's rows in every bag: [R, D], int32 [bags, K] and [bags, K] to [bags, D]."""
    return F.embedding_bag(indices, table, per_sample_weights=weights, mode='sum')


class _BagSums(torch.autograd.Function):
    """``_bag_sums`` with a faster gradient on a CPU.

    The operation is A @ table, where row b of the sparse matrix A has ``weights[b]`` in the columns ``indices[b]``.
    """

    @staticmethod
    def forward(ctx, table, indices, weights):
        ctx.save_for_backward(table, indices, weights)
        return _bag_sums(table, indices, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        table, indices, weights = ctx.saved_tensors
        dtype = torch.promote_types(table.dtype, torch.float32)         # no sparse matrices of 16 bits
        table, weights, grad = (x.to(dtype).contiguous() for x in (table, weights, grad))
        shape = len(indices), len(table)
        starts = torch.arange(0, indices.numel() + 1, max(indices.shape[1], 1), dtype=torch.int32)
        columns = indices.flatten()
        grad_table = grad_weights = None
        if ctx.needs_input_grad[0]:
            matrix = csr_matrix((weights.flatten().numpy(), columns.numpy(), starts.numpy()), shape)
            grad_table = torch.from_numpy(matrix.T @ grad.numpy()).to(ctx.saved_tensors[0].dtype)
        if ctx.needs_input_grad[2]:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', UserWarning)        # that sparse CSR tensors are in beta state
                wanted = torch.sparse_csr_tensor(starts, columns, torch.zeros_like(weights).flatten(), shape,
                                                 check_invariants=False)
            products = torch.sparse.sampled_addmm(wanted, grad, table.T, beta=0)
            grad_weights = products.values().view_as(weights).to(ctx.saved_tensors[2].dtype)
        return grad_table, None, grad_weights


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
