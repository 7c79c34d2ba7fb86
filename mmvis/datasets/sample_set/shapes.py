"""What the things of the sample set look like: sprites of eight categories, backgrounds, pillars.

Everything is computed with additions, multiplications and comparisons in float64 and ends in integers, so
the pixels are the same on every machine.
"""
import colorsys
import math
from typing import Callable, Dict, Tuple

import numpy as np

from .draws import Draws

#: id in the annotation file -> name. The ids are neither 1 .. 8 nor without holes, as in real files.
CATEGORIES: Dict[int, str] = {3: 'disc', 5: 'square', 8: 'triangle', 9: 'star', 14: 'cross', 17: 'ring', 20: 'ellipse',
                              26: 'crescent'}

#: Pixels of a sprite, which covers -1 .. 1 in both directions (the object has radius 1).
SPRITE_SIZE = 192
#: Pixels of a background, which repeats itself without a seam.
CANVAS_SIZE = 512

Color = Tuple[int, int, int]


def _half_planes(u: np.ndarray, v: np.ndarray, corners: int, distance: float) -> np.ndarray:
    """How many of the sides of a regular polygon have the point on their inner side (one corner points up)."""
    count = np.zeros(u.shape, np.int64)
    for i in range(corners):
        angle = math.pi * (0.5 + (2 * i + 1) / corners)
        count += u * round(math.cos(angle), 9) + v * round(math.sin(angle), 9) <= distance
    return count


def _silhouette(name: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """bool: the points u, v (float64, -1 .. 1) that belong to the shape."""
    square_radius = u * u + v * v
    shapes: Dict[str, Callable[[], np.ndarray]] = {
        'disc': lambda: square_radius < 0.95,
        'square': lambda: np.maximum(np.abs(u), np.abs(v)) < 0.84,
        'triangle': lambda: _half_planes(u, v, 3, 0.49) == 3,
        'star': lambda: (_half_planes(u, v, 5, 0.4) >= 4) & (square_radius < 0.96),
        'cross': lambda: (np.minimum(np.abs(u), np.abs(v)) < 0.37) & (np.maximum(np.abs(u), np.abs(v)) < 0.96),
        'ring': lambda: (square_radius < 0.95) & (square_radius > 0.17),
        'ellipse': lambda: u * u + v * v * 3.2 < 0.96,
        'crescent': lambda: (square_radius < 0.95) & ((u - 0.6) * (u - 0.6) + v * v > 0.38),
    }
    return shapes[name]()


def _texture(name: str, u: np.ndarray, v: np.ndarray, pitch: float, draws: Draws) -> np.ndarray:
    """bool: where the second color shows. Each category has its own pattern; ``pitch`` varies with the object."""
    def cell(x: np.ndarray) -> np.ndarray:
        return np.floor(x / pitch + 0.5)

    du, dv = u - cell(u) * pitch, v - cell(v) * pitch
    if name == 'disc':
        return du * du + dv * dv < 0.09 * pitch * pitch
    if name == 'square':
        return (cell(u) + cell(v)) % 2 == 0
    if name == 'triangle':
        return np.abs(dv) < 0.22 * pitch
    if name == 'star':
        return u * u + v * v < 0.45 * pitch
    if name == 'cross':
        return np.abs(u) + np.abs(v) < 0.9 * pitch
    if name == 'ring':
        return (u > 0) == (v > 0)
    if name == 'ellipse':
        return np.abs(du) < 0.26 * pitch
    grid = draws.array(10, 10) < 0.35
    return grid[((v + 1) * 5).astype(np.int64).clip(0, 9), ((u + 1) * 5).astype(np.int64).clip(0, 9)]


def _rim(inside: np.ndarray, width: int) -> np.ndarray:
    """The pixels of the shape that are at most ``width`` from its border."""
    core = inside.copy()
    for axis in (0, 1):
        for step in (-width, width):
            core &= np.roll(inside, step, axis)
    return inside & ~core


def color(hue: float, saturation: float, value: float) -> Color:
    """Blue, green, red in 0 .. 255; the arguments are in 0 .. 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return int(blue * 255 + 0.5), int(green * 255 + 0.5), int(red * 255 + 0.5)


def make_sprite(name: str, hue: float, draws: Draws) -> np.ndarray:
    """uint32 [SPRITE_SIZE * SPRITE_SIZE]: the bytes of a pixel are blue, green, red and 1 inside, all 0 outside."""
    axis = (np.arange(SPRITE_SIZE) + 0.5) / (SPRITE_SIZE / 2) - 1.0
    u, v = np.meshgrid(axis, axis)
    inside = _silhouette(name, u, -v)
    first = color(hue, draws.uniform(0.75, 1.0), draws.uniform(0.8, 1.0))
    second = draws.pick([(245, 245, 245), (30, 30, 30), color(hue + draws.uniform(0.08, 0.16), 0.9, 0.95),
                         color(hue, 0.9, 0.4)])
    pixels = np.zeros((SPRITE_SIZE, SPRITE_SIZE, 4), np.uint8)
    pixels[..., :3] = first
    pixels[_texture(name, u, v, draws.uniform(0.36, 0.56), draws), :3] = second
    pixels[_rim(inside, 8), :3] = tuple(c // 3 for c in first)
    pixels[..., 3] = 1
    pixels[~inside] = 0
    return pixels.view(np.uint32).reshape(-1)


def _noise(draws: Draws, cells: int) -> np.ndarray:
    """float64 [CANVAS_SIZE, CANVAS_SIZE] in 0 .. 1, smooth, the same at opposite borders."""
    grid = draws.array(cells, cells)
    step = CANVAS_SIZE // cells
    weight = (np.arange(CANVAS_SIZE) % step) / step
    weight = weight * weight * (3.0 - 2.0 * weight)
    for axis in (0, 1):
        low = np.repeat(grid, step, axis)
        high = np.repeat(np.roll(grid, -1, axis), step, axis)
        ramp = weight[:, None] if axis == 0 else weight[None, :]
        grid = low * (1.0 - ramp) + high * ramp
    return grid


def make_canvas(draws: Draws) -> np.ndarray:
    """uint32 [CANVAS_SIZE * CANVAS_SIZE]: a pale, textured background in the byte order of the sprites."""
    hue = draws.uniform(0.0, 1.0)
    blend = sum(_noise(draws, cells) * share for cells, share in ((4, 0.4), (16, 0.35), (64, 0.25)))
    low = np.array(color(hue, draws.uniform(0.05, 0.35), draws.uniform(0.2, 0.4)), np.float64)
    hue += draws.uniform(-0.2, 0.2)
    high = np.array(color(hue, draws.uniform(0.05, 0.35), draws.uniform(0.5, 0.8)), np.float64)
    pixels = low + (high - low) * blend[..., None]
    if draws.chance(0.5):  # planks or tiles: straight edges that are no object
        row, column = np.mgrid[:CANVAS_SIZE, :CANVAS_SIZE]
        pitch = draws.pick([32, 64, 128])
        lines = column % pitch < 3
        if draws.chance(0.5):
            lines |= row % pitch < 3
        pixels[lines] *= 0.75
    packed = np.zeros((CANVAS_SIZE, CANVAS_SIZE, 4), np.uint8)
    packed[..., :3] = np.floor(pixels + 0.5)
    return packed.view(np.uint32).reshape(-1)
