"""How the things of the sample set move: the script of one video.

A video has a clock. Most frames are one tick apart; now and then frames were dropped and the clock jumps by several
ticks. Things move smoothly in clock time, so after a jump they are elsewhere: overlap with the frame before says little
about who is who, appearance says all.
"""
import math
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import List, Optional, Sequence, Tuple

from .draws import Draws
from .shapes import CATEGORIES

HEIGHT, WIDTH = 160, 288

Point = Tuple[float, float]


@dataclass
class Path:
    """A smooth path through timed points (cubic Hermite spline); nowhere before the first and after the last time."""
    times: List[float] = field(default_factory=list)
    points: List[Point] = field(default_factory=list)

    def add(self, time: float, x: float, y: float) -> None:
        if not self.times or time > self.times[-1] + 1e-6:
            self.times.append(time)
            self.points.append((x, y))

    def at(self, time: float) -> Optional[Point]:
        times, points = self.times, self.points
        if len(times) < 2 or not times[0] <= time <= times[-1]:
            return None
        i = max(bisect_left(times, time) - 1, 0)
        span = times[i + 1] - times[i]
        s = (time - times[i]) / span
        start, end = self._slope(i), self._slope(i + 1)
        return tuple((2 * s**3 - 3 * s**2 + 1) * points[i][a] + (s**3 - 2 * s**2 + s) * span * start[a]
                     + (3 * s**2 - 2 * s**3) * points[i + 1][a] + (s**3 - s**2) * span * end[a] for a in (0, 1))

    def _slope(self, i: int) -> Point:
        a, b = max(i - 1, 0), min(i + 1, len(self.times) - 1)
        return tuple((self.points[b][k] - self.points[a][k]) / (self.times[b] - self.times[a]) for k in (0, 1))


@dataclass
class Actor:
    """One object of a video. Sizes in pixels, angles in radians, times in ticks."""
    category_id: int
    hue: float
    radius: float
    paths: List[Path]
    swell: float = 0.0          # share by which the radius grows and shrinks
    period: float = 40.0        # ticks of one such breath
    phase: float = 0.0
    angle: float = 0.0
    spin: float = 0.0           # radians per tick
    squash: float = 1.0         # height over width

    def position(self, time: float) -> Optional[Point]:
        for path in self.paths:
            point = path.at(time)
            if point is not None:
                return point
        return None

    def radius_at(self, time: float) -> float:
        return self.radius * (1.0 + self.swell * math.cos(2 * math.pi * time / self.period + self.phase))


@dataclass
class Script:
    """A whole video: the clock time of every frame, the actors from back to front, the camera, the pillars."""
    times: List[float]
    actors: List[Actor]
    pillars: List[Tuple[float, float]]      # centre and width in pixels; they stand in front of all actors
    camera: List[Tuple[float, float, float]]    # amplitude in pixels, period in ticks, phase: two for x, two for y

    def camera_at(self, time: float) -> Point:
        waves = [a * math.sin(2 * math.pi * time / period + phase) for a, period, phase in self.camera]
        return waves[0] + waves[1], waves[2] + waves[3]


def _clock(draws: Draws, num_frames: int) -> Tuple[List[float], List[int]]:
    """Times of the frames, and the indices of the frames before which others were dropped."""
    jumps: List[int] = []
    frame = draws.integer(6, 14)
    while frame < num_frames - 4:
        jumps.append(frame)
        frame += draws.integer(12, 22)
    times = [0.0]
    for i in range(1, num_frames):
        times.append(times[-1] + (draws.integer(4, 6) if i in jumps else 1))
    return times, jumps


def _inside(draws: Draws, radius: float) -> Point:
    return draws.uniform(0.8 * radius, WIDTH - 0.8 * radius), draws.uniform(0.7 * radius, HEIGHT - 0.7 * radius)


def _far_from(draws: Draws, point: Point, radius: float, distance: float) -> Point:
    """A place inside the frame at least about ``distance`` away from ``point``."""
    places = [_inside(draws, radius) for _ in range(6)]
    far = [p for p in places if math.hypot(p[0] - point[0], p[1] - point[1]) >= distance]
    return far[0] if far else max(places, key=lambda p: math.hypot(p[0] - point[0], p[1] - point[1]))


def _wander(draws: Draws, radius: float, start: float, end: float) -> Path:
    path, time = Path(), start
    x, y = _inside(draws, radius)
    path.add(time, x, y)
    while time < end:
        target = _far_from(draws, (x, y), radius, 40.0)
        time += max(8.0, math.hypot(target[0] - x, target[1] - y) / draws.uniform(1.5, 3.5))
        x, y = target
        path.add(time, x, y)
    return path


def _dart(draws: Draws, radius: float, start: float, end: float) -> Path:
    """Rests, then is elsewhere within about one tick, like an insect."""
    path, time = Path(), start
    x, y = _inside(draws, radius)
    while time < end + 1:
        path.add(time, x, y)
        time += draws.integer(9, 20)
        x, y = x + draws.uniform(-6, 6), y + draws.uniform(-6, 6)
        path.add(time, x, y)
        x, y = _far_from(draws, (x, y), radius, 2.4 * radius)
        time += 1.4
    path.add(time, x, y)
    return path


def _leave(draws: Draws, radius: float, start: float, end: float) -> List[Path]:
    """Leaves the frame and comes back somewhere else, again and again."""
    paths, time = [], start
    margin = 1.3 * radius + 8
    sides = draws.shuffled([0, 1, 2, 3])
    entry = _inside(draws, radius)
    if draws.chance(0.3):  # not there at the start
        entry = _outside(sides[-1], *entry, margin)
        time += draws.uniform(1.0, 8.0)
    while time < end:
        path = Path()
        x, y = entry
        path.add(time, x, y)
        for _ in range(1 if not paths else 2):
            target = _far_from(draws, (x, y), radius, 50.0)
            time += max(4.0, math.hypot(target[0] - x, target[1] - y) / draws.uniform(7.0, 12.0))
            x, y = target
            path.add(time, x, y)
        sides.append(sides.pop(0))
        x, y = _outside(sides[-1], x, y, margin)
        time += max(3.0, math.hypot(x - path.points[-1][0], y - path.points[-1][1]) / draws.uniform(7.0, 12.0))
        path.add(time, x, y)
        paths.append(path)
        time += draws.uniform(4.0, 9.0)
        entry = _outside(sides[0], *_inside(draws, radius), margin)
    return paths


def _outside(side: int, x: float, y: float, margin: float) -> Point:
    return ((-margin, y), (WIDTH + margin, y), (x, -margin), (x, HEIGHT + margin))[side]


def _pair_paths(draws: Draws, radius: float, times: Sequence[float], jumps: Sequence[int]) -> Tuple[Path, Path]:
    """Two objects on opposite sides of a common centre that change places again and again.

    At a jump of the clock the exchange falls between two frames, so that each stands where the other one stood; at
    other times they pass each other in sight, one hidden by the other.
    """
    crossings = [((times[j - 1] + times[j]) / 2, (times[j] - times[j - 1]) / 2) for j in jumps if draws.chance(0.55)]
    taken = [t for t, _ in crossings]
    for time in times[4:-4:6]:
        if draws.chance(0.2) and all(abs(time - t) > 9 for t in taken):
            crossings.append((time, 3.0))
            taken.append(time)
    crossings.sort()
    offset, last, sign = Path(), times[0], 1.0
    for time, half in crossings + [(times[-1] + 12.0, 3.0)]:
        angle = draws.uniform(-0.5, 0.5)
        dx, dy = math.cos(angle), math.sin(angle)
        apart = min(draws.uniform(1.7, 3.4) * radius, 95.0)
        near = 1.1 * radius
        if not offset.times:
            offset.add(last, sign * apart * dx, sign * apart * dy)
        if time - half - last > 4.0:
            offset.add((last + time - half) / 2, sign * apart * dx, sign * apart * dy)
        offset.add(time - half, sign * near * dx, sign * near * dy)
        sign = -sign
        offset.add(time + half, sign * near * dx, sign * near * dy)
        last = time + half
    centre = Path()
    time = times[0]
    while time < times[-1] + 60:
        centre.add(time, WIDTH * draws.uniform(0.38, 0.62), HEIGHT * draws.uniform(0.38, 0.62))
        time += draws.uniform(25.0, 40.0)
    first, second = Path(), Path()
    for tick in range(int(times[-1]) + 2):
        middle, (dx, dy) = centre.at(float(tick)), offset.at(float(tick))
        first.add(float(tick), middle[0] + dx, middle[1] + dy)
        second.add(float(tick), middle[0] - dx, middle[1] - dy)
    return first, second


def _actor(draws: Draws, category_id: int, hue: float, radius: float, paths: List[Path], swell: float) -> Actor:
    return Actor(category_id, hue, radius, paths, swell=swell, period=draws.uniform(25.0, 60.0),
                 phase=draws.uniform(0.0, 6.28), angle=draws.uniform(-0.6, 0.6), spin=draws.uniform(-0.06, 0.06),
                 squash=draws.uniform(0.8, 1.0))


def write_script(draws: Draws, index: int, num_frames: int) -> Script:
    """The script of video number ``index`` of a split; ``index`` only makes sure that all categories get their turn."""
    times, jumps = _clock(draws, num_frames)
    ids = list(CATEGORIES)
    lead = ids[(index * 3 + 1) % len(ids)]
    hues = draws.shuffled([(i + draws.uniform(-0.2, 0.2)) / 6 for i in range(6)])
    radius = draws.uniform(26.0, 36.0)
    actors = [_actor(draws, lead, hues.pop(), radius * draws.uniform(0.95, 1.05), [path], draws.uniform(0.03, 0.12))
              for path in _pair_paths(draws, radius, times, jumps)]
    for _ in range(draws.pick([0, 1, 2, 2, 2, 3])):
        category_id = lead if draws.chance(0.25) else draws.pick(ids)
        radius = draws.uniform(25.0, 40.0)
        kind = draws.pick(['wander', 'wander', 'wander', 'dart', 'leave', 'leave', 'leave'])
        if kind == 'leave':
            paths = _leave(draws, radius, times[0], times[-1])
        else:
            paths = [(_wander if kind == 'wander' else _dart)(draws, radius, times[0], times[-1])]
        actors.append(_actor(draws, category_id, hues.pop(), radius, paths, draws.uniform(0.1, 0.35)))
    pillars = [(draws.uniform(40.0, WIDTH - 40.0), draws.uniform(18.0, 40.0))] if draws.chance(0.35) else []
    camera = [(draws.uniform(2.0, 9.0), draws.uniform(15.0, 70.0), draws.uniform(0.0, 6.28)) for _ in range(4)]
    return Script(times, draws.shuffled(actors), pillars, camera)
