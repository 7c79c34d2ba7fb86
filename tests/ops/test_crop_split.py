"""Crop-split against a loop over pixels that spells the rule out."""
import numpy as np
import pytest
import torch

from mmvis.ops.crop_split import box_masks, crop, crop_split, split_cells, split_masks

BOXES = torch.tensor([[3, 4, 17.5, 12], [0, 0, 31, 23], [5.2, 3.7, 6.1, 4.4], [-3, -2, 9, 8], [20, 10, 45, 40],
                      [12, 12, 12, 12], [15, 9, 10, 5], [4, 4, 8, 8], [4.5, 4.5, 8.5, 8.5], [0.3, 20.2, 31.7, 23.9]])
SIZE = (24, 32)


def slow_cells(boxes, size, cells):
    """The rule of the CUDA kernel, pixel by pixel, in its number types."""
    out = np.full((len(boxes), *size), -1)
    for n, (x1, y1, x2, y2) in enumerate(boxes.numpy().astype(np.float32)):
        width, height = (np.float32((float(high - low) + 0.1) / cells) for low, high in ((x1, x2), (y1, y2)))
        for y in range(size[0]):
            for x in range(size[1]):
                if x >= x1 and y >= y1 and x < x2 and y < y2:
                    out[n, y, x] = int((y - y1) / height) * cells + int((x - x1) / width)
    return torch.from_numpy(out)


@pytest.mark.parametrize('cells', [1, 2, 3])
def test_cells_of_every_pixel(cells):
    draw = torch.Generator().manual_seed(0)
    corner = torch.rand(20, 2, generator=draw) * torch.tensor([34., 26.]) - 2
    boxes = torch.cat([BOXES, torch.cat([corner, corner + torch.rand(20, 2, generator=draw) * 20], dim=1)])
    assert torch.equal(split_cells(boxes, SIZE, cells).long(), slow_cells(boxes, SIZE, cells))


def test_worked_example():
    cell = split_cells(BOXES, SIZE)[0]
    columns = torch.nonzero((cell >= 0).any(0))[:, 0].tolist()
    rows = torch.nonzero((cell >= 0).any(1))[:, 0].tolist()
    assert columns == list(range(3, 18)) and rows == list(range(4, 12))
    # the border lies a twentieth of a pixel right of and below the middle
    assert [int((cell == q).sum()) for q in range(4)] == [40, 35, 24, 21]
    assert [int(x.sum()) for x in box_masks(BOXES, SIZE)] == [120, 713, 1, 72, 168, 0, 0, 16, 16, 93]


def test_values_and_gradient_come_from_the_chosen_cell():
    maps = torch.randn(len(BOXES), 4, *SIZE, generator=torch.Generator().manual_seed(1)).requires_grad_()
    boxes = BOXES.clone().requires_grad_()
    cell = slow_cells(BOXES, SIZE, 2)
    expected = sum((cell == q) * maps.detach()[:, q] for q in range(4))
    out = crop_split(maps, boxes)
    assert torch.equal(out.detach(), expected)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
    (out * weight).sum().backward()
    assert boxes.grad is None
    for q in range(4):
        assert torch.equal(maps.grad[:, q], (cell == q) * weight)
    assert torch.equal(crop(maps.detach()[:, 0], BOXES), (cell >= 0) * maps.detach()[:, 0])


@pytest.mark.parametrize('num_cells', [1, 4])
def test_masks_of_coefficients(num_cells):
    draw = torch.Generator().manual_seed(3)
    basis = torch.rand(8, *SIZE, generator=draw).requires_grad_()
    coefficients = torch.randn(len(BOXES), num_cells, 8, generator=draw).requires_grad_()
    maps = torch.einsum('nqc,chw->nqhw', coefficients, basis).sigmoid()
    expected = crop_split(maps, BOXES, round(num_cells ** 0.5))
    out = split_masks(basis, coefficients, BOXES)
    torch.testing.assert_close(out, expected)
    weight = torch.randn(out.shape, generator=draw)
    for ours, theirs in zip(torch.autograd.grad((out * weight).sum(), (basis, coefficients)),
                            torch.autograd.grad((expected * weight).sum(), (basis, coefficients))):
        torch.testing.assert_close(ours, theirs)
    assert split_masks(basis, coefficients[:0], BOXES[:0]).shape == (0, *SIZE)


def test_under_autocast_sums_are_float32():
    basis, coefficients = torch.rand(8, *SIZE), torch.randn(len(BOXES), 4, 8)
    expected = split_masks(basis, coefficients, BOXES)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(split_masks(basis, coefficients, BOXES), expected)
