"""Nine sets of annotations and results for the evaluator, made on the spot: the same bytes on every machine.

Their sha256 and the numbers of the official evaluation code on them stand in tests/golden/eval/expected.json. Only
rand, randint and permutation of RandomState are drawn, whose streams are frozen, and only + - * / and the square root
are computed, so that the bytes do not hang on the NumPy release. The order of the draws is part of the recipe.

    python tests/helpers/eval_sets.py NAME FOLDER
"""
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from pycocotools import mask as coco_mask

Runs = List[int]


class Recipe(NamedTuple):
    """A random set. Pairs are the least and the greatest number."""
    seed: int
    videos: int
    frames: Tuple[int, int]
    sizes: List[Tuple[int, int]]
    categories: int
    tracks: Tuple[int, int]
    results: Tuple[int, int]
    crowd: float = 0.0
    occlusion: bool = False                  # with levels, and RLEs as strings, as in OVIS
    not_annotated: Tuple[int, ...] = ()      # categories
    ties: float = 0.3                        # share of scores that are rounded
    copies: float = 0.1                      # share of results that are given twice
    without_results: float = 0.0             # share of videos
    flood: Optional[Tuple[int, int]] = None  # video and number of more results of one category
    rough: int = 2                           # pixels by which the outlines jump
    shuffled_ids: bool = False


RECIPES = dict(
    mid20=Recipe(20, 20, (6, 14), [(120, 160), (160, 120), (300, 340), (600, 800)], 12, (0, 5), (3, 12), crowd=0.15,
                 not_annotated=(3, 8), without_results=0.12, flood=(4, 130), rough=1, shuffled_ids=True),
    ovis_small=Recipe(21, 8, (20, 60), [(90, 160)], 8, (3, 7), (6, 14), occlusion=True, not_annotated=(5,), rough=1),
    longshort=Recipe(22, 16, (4, 50), [(72, 128)], 6, (1, 4), (4, 10), crowd=0.05, rough=1),
    big60=Recipe(60, 60, (36, 36), [(720, 1280)], 40, (2, 5), (10, 10), ties=0.1, copies=0.0),
    ovis12=Recipe(61, 12, (60, 292), [(1080, 1920)], 25, (5, 9), (20, 20), occlusion=True, ties=0.1, copies=0.0),
    dense=Recipe(62, 24, (20, 20), [(360, 640)], 5, (5, 10), (100, 100), ties=0.1, copies=0.0),
    val21=Recipe(63, 421, (15, 36), [(720, 1280)], 40, (1, 5), (10, 10), ties=0.1, copies=0.0, rough=6),
    ovis140=Recipe(64, 140, (30, 110), [(1080, 1920)], 25, (3, 8), (20, 20), occlusion=True, ties=0.1, copies=0.0,
                   rough=6))


def write_set(name: str, folder: Path) -> Tuple[Path, Path]:
    """Write a set; returns the files of the annotations and of the results."""
    truth, results = tiny_set() if name == 'tiny' else random_set(RECIPES[name])
    files = folder / 'gt.json', folder / 'results.json'
    for file, content in zip(files, (truth, results)):
        file.write_text(json.dumps(content, separators=(',', ':')))
    return files


# Run lengths and entries

def spans_to_runs(start: np.ndarray, end: np.ndarray, pixels: int) -> Runs:
    """Run lengths, background first, of rising, disjoint spans in column-major order."""
    kept = end > start
    start, end = start[kept], end[kept]
    if not len(start):
        return [int(pixels)]
    apart = start[1:] != end[:-1]
    start, end = np.concatenate([start[:1], start[1:][apart]]), np.concatenate([end[:-1][apart], end[-1:]])
    bounds = np.concatenate([[0], np.stack([start, end], 1).ravel(), [pixels]])
    runs = np.diff(bounds)
    return runs[:len(runs) - (runs[-1] == 0)].tolist()


def rectangle(height: int, width: int, x: int, y: int, w: int, h: int) -> Runs:
    columns = np.arange(x, x + w, dtype=np.int64) * height
    return spans_to_runs(columns + y, columns + y + h, height * width)


def make_rle(runs: Runs, height: int, width: int, as_string: bool = True) -> Dict[str, Any]:
    rle = {'size': [height, width], 'counts': runs}
    if as_string:
        rle['counts'] = coco_mask.frPyObjects(rle, height, width)['counts'].decode()
    return rle


def make_video(video_id: int, frames: int, height: int, width: int) -> Dict[str, Any]:
    return dict(id=video_id, width=width, height=height, length=frames,
                file_names=[f'v{video_id:04d}/{5 * t:05d}.jpg' for t in range(frames)])


def make_annotation(number: int, video_id: int, category: int, masks: List[Optional[Runs]], height: int, width: int,
                    crowd: int = 0, as_string: bool = False,
                    occlusion: Optional[List[Optional[str]]] = None) -> Dict[str, Any]:
    def box(runs: Runs) -> List[float]:
        rle = coco_mask.frPyObjects(make_rle(runs, height, width, False), height, width)
        return [float(x) for x in coco_mask.toBbox(rle)]

    annotation = dict(id=number, video_id=video_id, category_id=category, iscrowd=crowd, height=height, width=width,
                      length=1, segmentations=[runs and make_rle(runs, height, width, as_string) for runs in masks],
                      areas=[runs and int(sum(runs[1::2])) for runs in masks],
                      bboxes=[runs and box(runs) for runs in masks])
    return annotation if occlusion is None else dict(annotation, occlusion=occlusion)


def make_result(video_id: int, category: int, score: float, masks: List[Optional[Runs]], height: int,
                width: int) -> Dict[str, Any]:
    return dict(video_id=video_id, category_id=category, score=score,
                segmentations=[runs and make_rle(runs, height, width) for runs in masks])


# Rectangles: two videos of 8 x 10 pixels, whose numbers tests/golden/eval/README.md derives by hand

def tiny_set() -> Tuple[Dict, List]:
    size = 8, 10

    def boxes(*corners: Optional[Tuple[int, int, int, int]]) -> List[Optional[Runs]]:
        return [corner and rectangle(*size, *corner) for corner in corners]

    truth = dict(info={}, videos=[make_video(1, 3, *size), make_video(2, 2, *size)],
                 categories=[dict(id=k + 1, name=name, supercategory='x') for k, name in enumerate('abc')])
    truth['annotations'] = [
        make_annotation(1, 1, 1, boxes((0, 0, 4, 4), (1, 0, 4, 4), None), *size),
        make_annotation(2, 1, 1, boxes((5, 4, 4, 4), (5, 4, 4, 4), (5, 4, 4, 4)), *size),
        make_annotation(3, 2, 1, boxes(None, (2, 2, 5, 4)), *size),
        make_annotation(4, 2, 2, boxes((0, 0, 2, 8), (0, 0, 2, 8)), *size),
        make_annotation(5, 2, 2, boxes((6, 0, 4, 8), (6, 0, 4, 8)), *size, crowd=1)]
    results = [
        make_result(1, 1, 0.9, boxes((0, 0, 4, 4), (1, 0, 4, 4), None), *size),  # IoU 1 with 1
        make_result(1, 1, 0.8, boxes((5, 4, 4, 3), (5, 4, 4, 3), (5, 4, 4, 3)), *size),  # 36/48 with 2
        make_result(1, 1, 0.7, boxes((0, 0, 4, 4), (1, 0, 4, 4), (0, 0, 4, 4)), *size),  # 32/48 with 1, which is taken
        make_result(2, 1, 0.8, boxes((2, 2, 5, 4), (2, 2, 5, 4)), *size),  # 20/40 with 3
        make_result(2, 2, 0.6, boxes((0, 0, 2, 6), (0, 0, 2, 6)), *size),  # 24/32 with 4
        make_result(2, 2, 0.5, boxes((6, 0, 4, 6), (6, 0, 4, 6)), *size),  # 48/64 with the crowd
        make_result(2, 2, 0.4, boxes((6, 0, 4, 7), (6, 0, 4, 7)), *size),  # 56/64 with the crowd again
        make_result(2, 3, 0.95, boxes((0, 0, 1, 1), None), *size),  # a category without annotations
        make_result(1, 2, 0.3, boxes(None, None, None), *size)]  # in no frame
    return truth, results


# Random sets: drifting blobs, and results that are shaken copies of them or inventions

class Blob:
    """A moving ellipse with an outline that jumps by whole pixels."""

    def __init__(self, draw: np.random.RandomState, height: int, width: int, rough: int) -> None:
        self.height, self.width, self.rough = height, width, rough
        self.x, self.y = draw.rand() * width, draw.rand() * height
        self.rx, self.ry = (0.04 + 0.18 * draw.rand()) * width, (0.06 + 0.24 * draw.rand()) * height
        self.vx, self.vy = (draw.rand() - 0.5) * width / 40.0, (draw.rand() - 0.5) * height / 40.0

    def runs(self, draw: np.random.RandomState, t: int, dx: float = 0.0, dy: float = 0.0, sx: float = 1.0,
             sy: float = 1.0, hole: float = 0.0) -> Runs:
        """Run lengths in frame t, moved by dx, dy, scaled by sx, sy, with a square hole of that share of the radius."""
        cx, cy, rx, ry = self.x + self.vx * t + dx, self.y + self.vy * t + dy, self.rx * sx, self.ry * sy
        first, last = int(max(0, np.floor(cx - rx))), int(min(self.width, np.ceil(cx + rx)))
        if last <= first:
            draw.randint(0, 3, 4)
            return [self.height * self.width]
        x = np.arange(first, last)
        inside = 1.0 - ((x + 0.5 - cx) / rx) ** 2
        half = ry * np.sqrt(np.maximum(inside, 0.0))
        jump = draw.randint(-self.rough, self.rough + 1, (2, len(x)))
        top = np.clip(np.floor(cy - half).astype(np.int64) + jump[0], 0, self.height)
        bottom = np.clip(np.floor(cy + half).astype(np.int64) + jump[1], 0, self.height)
        bottom = np.where(inside > 0, np.maximum(bottom, top), top)
        column, bounds = x.astype(np.int64) * self.height, [top, bottom]
        if hole > 0:
            in_hole = np.abs(x + 0.5 - cx) < rx * hole
            bounds[1:1] = [np.where(in_hole, np.clip(int(cy - ry * hole), top, bottom), bottom),
                           np.where(in_hole, np.clip(int(cy + ry * hole), top, bottom), bottom)]
        start, end = (np.stack([column + bound for bound in part], 1).ravel() for part in (bounds[::2], bounds[1::2]))
        return spans_to_runs(start, end, self.height * self.width)


@dataclass
class Thing:
    """An annotated blob that is there in frames first to last - 1."""
    blob: Blob
    category: int
    first: int
    last: int


def random_set(recipe: Recipe) -> Tuple[Dict, List]:
    draw = np.random.RandomState(recipe.seed)
    categories = [dict(id=c + 1, name=f'c{c + 1:02d}', supercategory='s') for c in range(recipe.categories)]
    truth: Dict[str, Any] = dict(info=dict(description='synthetic'), videos=[], annotations=[], categories=categories)
    results: List[Dict] = []
    ids = list(range(1, recipe.videos + 1))
    if recipe.shuffled_ids:
        ids = [int(v) for v in draw.permutation(recipe.videos) + 1]
    flood = recipe.flood
    for index, video_id in enumerate(ids):
        height, width = recipe.sizes[index % len(recipe.sizes)]
        num_frames = int(draw.randint(recipe.frames[0], recipe.frames[1] + 1))
        truth['videos'].append(make_video(video_id, num_frames, height, width))
        things = _annotate(draw, recipe, truth, video_id, num_frames, height, width)
        if draw.rand() < recipe.without_results:
            continue
        made: List[Dict] = []
        for _ in range(int(draw.randint(recipe.results[0], recipe.results[1] + 1))):
            result = _predict(draw, recipe, things, video_id, num_frames, height, width)
            made.append(result)
            if draw.rand() < recipe.copies:
                made.append(dict(result, score=result['score'] if draw.rand() < 0.5 else result['score'] * 0.9))
        if flood and index >= flood[0] and things:
            made += _flood(draw, things[0], flood[1], video_id, num_frames, height, width)
            flood = None
        results += [made[int(i)] for i in draw.permutation(len(made))]
    return truth, results


def _annotate(draw: np.random.RandomState, recipe: Recipe, truth: Dict, video_id: int, num_frames: int, height: int,
              width: int) -> List[Thing]:
    count = int(draw.randint(recipe.tracks[0], recipe.tracks[1] + 1))
    annotated = [c + 1 for c in range(recipe.categories) if c + 1 not in recipe.not_annotated]
    of_video = [annotated[int(draw.randint(len(annotated)))] for _ in range(max(1, count // 2))]
    things = []
    for _ in range(count):
        blob = Blob(draw, height, width, recipe.rough)
        category = of_video[int(draw.randint(len(of_video)))]
        first = int(draw.randint(0, max(1, num_frames // 3))) if draw.rand() < 0.3 else 0
        last = num_frames - (int(draw.randint(0, max(1, num_frames // 3))) if draw.rand() < 0.3 else 0)
        masks: List[Optional[Runs]] = []
        levels: List[Optional[str]] = []
        occluded = draw.rand()
        for t in range(num_frames):
            gone = draw.rand() < 0.06
            runs = blob.runs(draw, t, hole=0.5 if draw.rand() < 0.2 else 0.0)
            level = 'no_occlusion'
            if draw.rand() <= occluded:
                level = 'slight_occlusion' if draw.rand() < 0.5 else 'severe_occlusion'
            absent = t < first or t >= last or gone or len(runs) == 1
            masks.append(None if absent else runs)
            levels.append(None if absent else level)
        if not any(masks):
            masks[0], levels[0] = rectangle(height, width, 0, 0, 4, 4), 'no_occlusion'
        crowd = 1 if draw.rand() < recipe.crowd else 0
        truth['annotations'].append(make_annotation(
            len(truth['annotations']) + 1, video_id, category, masks, height, width, crowd, recipe.occlusion,
            levels if recipe.occlusion else None))
        things.append(Thing(blob, category, first, last))
    return things


def _predict(draw: np.random.RandomState, recipe: Recipe, things: List[Thing], video_id: int, num_frames: int,
             height: int, width: int) -> Dict[str, Any]:
    if draw.rand() < 0.75 and things:
        thing = things[int(draw.randint(len(things)))]
        blob, category, first, last = thing.blob, thing.category, thing.first, thing.last
        if draw.rand() < 0.12:
            category = int(draw.randint(1, recipe.categories + 1))
        poor = draw.rand() ** 3
        moved = [(draw.rand() - 0.5) * poor * 0.8 * radius for radius in (blob.rx, blob.ry)]
        moved += [1 + (draw.rand() - 0.5) * 0.7 * poor for _ in range(2)]
        score = 0.3 + 0.7 * draw.rand() * (1 - 0.5 * poor)
    else:
        blob, first, last = Blob(draw, height, width, recipe.rough), 0, num_frames
        category = int(draw.randint(1, recipe.categories + 1))
        moved = [0.0, 0.0, 1.0, 1.0]
        score = 0.6 * draw.rand()
    lost = 0.6 * draw.rand() if draw.rand() < 0.3 else 0.02
    masks: List[Optional[Runs]] = []
    for t in range(num_frames):
        missed = draw.rand() < lost
        runs: Optional[Runs] = blob.runs(draw, t, *moved, hole=0.4 if draw.rand() < 0.1 else 0.0)
        if missed or t < first or t >= last or (len(runs) == 1 and draw.rand() < 0.5):  # else an empty RLE stays
            runs = None
        masks.append(runs)
    if draw.rand() < recipe.ties:
        score = round(score, 1)
    return make_result(video_id, category, float(score), masks, height, width)


def _flood(draw: np.random.RandomState, thing: Thing, count: int, video_id: int, num_frames: int, height: int,
           width: int) -> List[Dict[str, Any]]:
    made = []
    for i in range(count):
        masks = [thing.blob.runs(draw, t, float(i % 7), float(i % 5)) for t in range(num_frames)]
        masks = [runs if t % 2 == i % 2 else None for t, runs in enumerate(masks)]
        made.append(make_result(video_id, thing.category, float(round(draw.rand(), 2)), masks, height, width))
    return made


if __name__ == '__main__':
    print(*write_set(sys.argv[1], Path(sys.argv[2])))
