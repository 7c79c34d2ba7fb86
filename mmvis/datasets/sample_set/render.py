"""Draws the frames of a script and the masks of what is visible in them."""
import math
from typing import Iterator, List, Tuple

import numpy as np

from .draws import Draws
from .motion import HEIGHT, WIDTH, Actor, Script
from .shapes import CANVAS_SIZE, CATEGORIES, SPRITE_SIZE, make_canvas, make_sprite

#: Every pixel is sampled this often, at different places inside the pixel and at different times while the shutter is
#: open: one loop gives smooth edges and motion blur.
_SAMPLES = 8
_PLACES = [((2 * i + 1) / 16 - 0.5, (2 * j + 1) / 16 - 0.5) for i, j in enumerate((3, 6, 0, 5, 2, 7, 1, 4))]
_INSTANTS = [(2 * k + 1) / 16 - 0.5 for k in (0, 4, 2, 6, 1, 5, 3, 7)]
#: Ticks that the shutter is open, and the longest blur in pixels.
_SHUTTER, _LONGEST_BLUR = 0.5, 6.0
#: A visible rest of fewer pixels is not annotated.
_FEWEST_PIXELS = 16
_FRACTION_BITS = 16


def _fixed(value: float) -> int:
    """Fixed-point number: integers from here on, so that no machine rounds differently."""
    return int(math.floor(value * (1 << _FRACTION_BITS) + 0.5))


class _Painter:
    """One frame in the making: the picture, and who owns which pixel (0 the background, i + 1 actor i, -1 a pillar)."""

    def __init__(self, picture: np.ndarray) -> None:
        self.picture = picture
        self.owner = np.zeros((HEIGHT, WIDTH), np.int16)
        self.whole_areas: List[int] = []

    def paint(self, sprite: np.ndarray, centre: Tuple[float, float], blur: Tuple[float, float], radius: float,
              angle: float, squash: float) -> None:
        """Put a sprite over the picture; the next owner number is its."""
        number = len(self.whole_areas) + 1
        reach = radius * 1.02 + 1.0
        left, right = _span(centre[0], reach + abs(blur[0]) / 2, WIDTH)
        top, bottom = _span(centre[1], reach + abs(blur[1]) / 2, HEIGHT)
        if left >= right or top >= bottom:
            self.whole_areas.append(0)
            return
        scale = SPRITE_SIZE / 2 / radius
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        columns, rows = np.arange(left, right, dtype=np.int64), np.arange(top, bottom, dtype=np.int64)
        u_of_x, u_of_y = columns * _fixed(cos), rows * _fixed(sin)
        v_of_x, v_of_y = columns * _fixed(-sin / squash), rows * _fixed(cos / squash)
        total = np.zeros((bottom - top, right - left, 4), np.uint16)
        for (px, py), instant in zip(_PLACES, _INSTANTS):
            x = px + 0.5 - centre[0] - blur[0] * instant
            y = py + 0.5 - centre[1] - blur[1] * instant
            u0 = _fixed(cos * x + sin * y + SPRITE_SIZE / 2)
            v0 = _fixed((cos * y - sin * x) / squash + SPRITE_SIZE / 2)
            u = ((u_of_x + u0)[None, :] + u_of_y[:, None]) >> _FRACTION_BITS
            v = ((v_of_x + v0)[None, :] + v_of_y[:, None]) >> _FRACTION_BITS
            outside = (u < 0) | (u >= SPRITE_SIZE) | (v < 0) | (v >= SPRITE_SIZE)
            v *= SPRITE_SIZE
            v += u
            v[outside] = 0  # the corner of a sprite is empty
            total += sprite.take(v).view(np.uint8).reshape(total.shape)
        covered = total[..., 3:]
        region = self.picture[top:bottom, left:right]
        region[...] = (region * (_SAMPLES - covered) + total[..., :3]) // _SAMPLES
        mask = covered[..., 0] >= _SAMPLES // 2
        self.owner[top:bottom, left:right][mask] = number
        self.whole_areas.append(int(mask.sum()))

    def pillar(self, canvas: np.ndarray, centre: float, width: float) -> None:
        left, right = _span(centre, width / 2, WIDTH)
        if left >= right:
            return
        columns = np.arange(left, right) - int(math.floor(centre - width / 2))
        index = np.arange(HEIGHT)[:, None] * CANVAS_SIZE + columns[None, :]
        self.picture[:, left:right] = canvas.take(index).view(np.uint8).reshape(HEIGHT, right - left, 4)[..., :3] // 2
        self.owner[:, left:right] = -1


def _span(centre: float, reach: float, size: int) -> Tuple[int, int]:
    return max(int(math.floor(centre - reach)), 0), min(int(math.ceil(centre + reach)), size)


def _background(canvas: np.ndarray, shift: Tuple[float, float], zoom: float, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
    x, y = np.arange(WIDTH, dtype=np.int64), np.arange(HEIGHT, dtype=np.int64)
    u = (x * _fixed(cos) - _fixed(shift[0]))[None, :] + (y * _fixed(sin))[:, None] >> _FRACTION_BITS
    v = (y * _fixed(cos) - _fixed(shift[1]))[:, None] - (x * _fixed(sin))[None, :] >> _FRACTION_BITS
    index = (v & (CANVAS_SIZE - 1)) * CANVAS_SIZE + (u & (CANVAS_SIZE - 1))
    return canvas.take(index).view(np.uint8).reshape(HEIGHT, WIDTH, 4)[..., :3].copy()


def _pose(actor: Actor, script: Script, time: float):
    """Centre (pixels), blur vector (pixels), or None when the actor is not on stage."""
    ends = []
    for moment in (time - _SHUTTER / 2, time, time + _SHUTTER / 2):
        place, camera = actor.position(moment), script.camera_at(moment)
        ends.append(None if place is None else (place[0] + camera[0], place[1] + camera[1]))
    before, centre, after = ends
    if centre is None:
        return None
    before, after = before or centre, after or centre
    blur = after[0] - before[0], after[1] - before[1]
    length = math.hypot(*blur)
    shrink = min(1.0, _LONGEST_BLUR / length) if length > 0 else 0.0
    return centre, (blur[0] * shrink, blur[1] * shrink)


def render(script: Script, draws: Draws) -> Iterator[Tuple[np.ndarray, np.ndarray, List[int]]]:
    """Draw a script frame by frame.

    Yields:
        The picture, uint8 [HEIGHT, WIDTH, 3] BGR; the owner of each pixel, int16 [HEIGHT, WIDTH], i + 1 for actor i of
        the script, other numbers for everything else; and for each actor the number of pixels inside the frame that it
        would have if nothing were in front of it.
    """
    sprites = [make_sprite(CATEGORIES[actor.category_id], actor.hue, draws) for actor in script.actors]
    canvas, wall = make_canvas(draws), make_canvas(draws)
    drift = draws.uniform(-3.0, 3.0), draws.uniform(-1.5, 1.5)
    turn, breath = draws.uniform(-0.15, 0.15), draws.uniform(30.0, 80.0)
    for time in script.times:
        camera = script.camera_at(time)
        wave = math.sin(2 * math.pi * time / breath)
        shift = camera[0] + drift[0] * time, camera[1] + drift[1] * time
        painter = _Painter(_background(canvas, shift, 1.0 + 0.08 * wave, turn * wave))
        for actor, sprite in zip(script.actors, sprites):
            pose = _pose(actor, script, time)
            if pose is None:
                painter.whole_areas.append(0)
                continue
            painter.paint(sprite, *pose, actor.radius_at(time), actor.angle + actor.spin * time, actor.squash)
        for centre, width in script.pillars:
            painter.pillar(wall, centre + camera[0], width)
        yield painter.picture, painter.owner, painter.whole_areas


def visible_masks(owner: np.ndarray, num_actors: int) -> List:
    """bool [HEIGHT, WIDTH] or None for each actor: what is seen of it."""
    masks = [owner == i + 1 for i in range(num_actors)]
    return [mask if int(mask.sum()) >= _FEWEST_PIXELS else None for mask in masks]
