"""What an annotation file holds: lengths, sizes, tracks by class, overlap, entries and exits, small objects."""
from typing import Any, Dict, List, Sequence

import numpy as np

from mmvis.structures.rle_decode import decode_counts

from .index import AnnotationIndex

#: Mean area of a track, pixels: below the first it is small, below the second medium (the ranges of AP).
SMALL, MEDIUM = 128**2, 256**2
#: Masks below are hard to see after resizing.
TINY = 32**2


def dataset_statistics(index: AnnotationIndex) -> Dict[str, Any]:
    """The numbers of a set, as plain values for JSON.

    Returns:
        ``file``, ``totals``, ``videos`` and ``classes`` (a list of dicts with the columns of a table each), ``tracks``
        (lists with one value a track, for charts). Areas are those of the masks, in pixels; overlap is the box overlap
        rate of OVIS (Qi et al., IJCV 2022): intersections of all pairs of boxes of a frame over the area of their
        union, mean over frames with an object. A track enters or leaves where it is first or last seen within the
        video, and comes back after each gap.
    """
    video_of_frame = np.repeat(np.arange(len(index)), np.diff(index.frame_ptr))
    frame_of_entry = np.repeat(np.arange(len(video_of_frame)), np.diff(index.entry_ptr))
    areas = _areas(index, video_of_frame[frame_of_entry])
    tracks = _track_rows(index, frame_of_entry, areas)
    overlap = _overlap_by_frame(index)
    videos = [_video_row(index, v, tracks, overlap) for v in range(len(index))]
    classes = [_class_row(name, position, tracks) for position, (_, name) in enumerate(index.meta['categories'])]
    return dict(file=index.meta['ann_file'], totals=_totals(videos, tracks, areas, overlap), videos=videos,
                classes=classes, tracks={key: values.tolist() for key, values in tracks.items()})


def _areas(index: AnnotationIndex, videos: np.ndarray) -> np.ndarray:
    """Pixels of every entry, int64 [E]."""
    data = index.mask_bytes.tobytes()
    counts = [data[a:b] for a, b in zip(index.mask_ptr[:-1].tolist(), index.mask_ptr[1:].tolist())]
    pixels = (index.heights.astype(np.int64) * index.widths)[videos]
    return decode_counts(counts, pixels, areas_only=True).areas


def _track_rows(index: AnnotationIndex, frame_of_entry: np.ndarray, areas: np.ndarray) -> Dict[str, np.ndarray]:
    """Columns with one value a track that is seen: ``video``, ``category`` (positions), ``crowd``, ``frames`` seen,
    ``first`` and ``last`` frame, ``gaps``, mean ``area``, ``share`` of its video in which it is seen."""
    order = np.lexsort((frame_of_entry, index.entry_objects))
    objects, frames = index.entry_objects[order], frame_of_entry[order]
    seen, starts, counts = np.unique(objects, return_index=True, return_counts=True)
    ends = starts + counts - 1
    jumps = np.concatenate([[0], np.cumsum((np.diff(objects) == 0) & (np.diff(frames) > 1))]) if len(objects) \
        else np.zeros(0, np.int64)
    video = np.searchsorted(index.frame_ptr, frames[starts], side='right') - 1
    begin = index.frame_ptr[video]
    sums = np.add.reduceat(areas[order], starts) if len(starts) else np.zeros(0)
    return dict(video=video, category=index.object_categories[seen].astype(np.int64), crowd=index.object_crowd[seen],
                frames=counts, first=frames[starts] - begin, last=frames[ends] - begin,
                gaps=(jumps[ends] - jumps[starts]) if len(starts) else starts, area=sums / np.maximum(counts, 1),
                share=counts / np.diff(index.frame_ptr)[video])


def _overlap_by_frame(index: AnnotationIndex) -> np.ndarray:
    """Box overlap rate of every frame, float64 [F]; NaN without an object."""
    rates = np.full(len(index.entry_ptr) - 1, np.nan)
    for frame in np.flatnonzero(np.diff(index.entry_ptr)):
        boxes = index.entry_boxes[index.entry_ptr[frame]:index.entry_ptr[frame + 1]].astype(float)
        rates[frame] = box_overlap(boxes)
    return rates


def box_overlap(boxes: np.ndarray) -> float:
    """Intersections of all pairs over the area of the union of boxes [N, 4] x y w h; 0 for one box."""
    if len(boxes) < 2:
        return 0.
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    sides = np.clip(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0, None)
    pairs = np.triu(sides.prod(-1), 1).sum()
    if pairs == 0:
        return 0.
    xs, ys = (np.unique(np.concatenate([low[:, axis], high[:, axis]])) for axis in (0, 1))
    columns = (xs[:-1] >= low[:, :1]) & (xs[:-1] < high[:, :1])
    rows = (ys[:-1] >= low[:, 1:]) & (ys[:-1] < high[:, 1:])
    covered = (rows[:, :, None] & columns[:, None]).any(0)
    union = (covered * np.diff(ys)[:, None] * np.diff(xs)).sum()
    return float(pairs / union)


def _mean(values: np.ndarray) -> float:
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return round(float(values.mean()), 4) if len(values) else 0.


def _changes(tracks: Dict[str, np.ndarray], rows: np.ndarray, lengths: np.ndarray) -> Dict[str, int]:
    """How many tracks enter and leave within their video, and how often one comes back."""
    return dict(enter=int((tracks['first'][rows] > 0).sum()), leave=int((tracks['last'][rows] < lengths - 1).sum()),
                come_back=int(tracks['gaps'][rows].sum()))


def _video_row(index: AnnotationIndex, v: int, tracks: Dict[str, np.ndarray], overlap: np.ndarray) -> Dict[str, Any]:
    rows = np.flatnonzero(tracks['video'] == v)
    first, last = int(index.frame_ptr[v]), int(index.frame_ptr[v + 1])
    return dict(video=index.meta['video_ids'][v], frames=last - first, width=int(index.widths[v]),
                height=int(index.heights[v]), tracks=len(rows), masks=int(tracks['frames'][rows].sum()),
                empty_frames=int(np.isnan(overlap[first:last]).sum()), overlap=_mean(overlap[first:last]),
                **_changes(tracks, rows, np.full(len(rows), last - first)))


def _class_row(name: str, position: int, tracks: Dict[str, np.ndarray]) -> Dict[str, Any]:
    rows = np.flatnonzero(tracks['category'] == position)
    area = tracks['area'][rows]
    return {'class': name, 'tracks': len(rows), 'videos': len(np.unique(tracks['video'][rows])),
            'masks': int(tracks['frames'][rows].sum()), 'frames_seen': _mean(tracks['share'][rows]),
            'mean_area': round(float(area.mean())) if len(rows) else 0, 'small': int((area < SMALL).sum()),
            'medium': int(((area >= SMALL) & (area < MEDIUM)).sum()), 'large': int((area >= MEDIUM).sum())}


def _totals(videos: Sequence[Dict[str, Any]], tracks: Dict[str, np.ndarray], areas: np.ndarray,
            overlap: np.ndarray) -> Dict[str, Any]:
    lengths = np.array([row['frames'] for row in videos])
    sizes: Dict[str, int] = {}
    for row in videos:
        size = f'{row["width"]} x {row["height"]}'
        sizes[size] = sizes.get(size, 0) + 1
    totals = dict(videos=len(videos), frames=int(lengths.sum()), shortest=int(lengths.min()),
                  median_length=float(np.median(lengths)), longest=int(lengths.max()),
                  sizes=dict(sorted(sizes.items(), key=lambda item: -item[1])), tracks=len(tracks['video']),
                  crowds=int(tracks['crowd'].sum()), masks=len(areas),
                  tiny_masks=int((areas < TINY).sum()), empty_frames=int(np.isnan(overlap).sum()),
                  overlap=_mean(overlap), crowded_frames=int((overlap > 0).sum()))
    totals.update({key: sum(row[key] for row in videos) for key in ('enter', 'leave', 'come_back')})
    return totals


def as_table(statistics: Dict[str, Any], rows: int = 30) -> str:
    """The numbers as text; of classes and videos the first ``rows``."""
    totals = statistics['totals']
    sizes = ', '.join(f'{size} ({number})' for size, number in list(totals['sizes'].items())[:4])
    more = len(totals['sizes']) - 4
    lines = [statistics['file'],
             f'{totals["videos"]} videos, {totals["frames"]} frames: {totals["shortest"]} to {totals["longest"]} a '
             f'video, median {totals["median_length"]:g}; {totals["empty_frames"]} without an object',
             f'sizes {sizes}{f" and {more} more" if more > 0 else ""}',
             f'{totals["tracks"]} tracks ({totals["crowds"]} crowds), {totals["masks"]} masks, {totals["tiny_masks"]} '
             f'of them below 32 x 32 pixels',
             f'{totals["enter"]} tracks enter and {totals["leave"]} leave within their video, {totals["come_back"]} '
             'times one comes back',
             f'boxes overlap in {totals["crowded_frames"]} frames; mean overlap rate {totals["overlap"]:.3f}', '']
    classes = [row for row in statistics['classes'] if row['tracks']]
    for name, table in (('classes', classes), ('videos', statistics['videos'])):
        lines += _columns(table[:rows]) if table else []
        if len(table) > rows:
            lines.append(f'... and {len(table) - rows} {name} more')
        if name == 'classes' and len(classes) < len(statistics['classes']):
            lines.append(f'{len(statistics["classes"]) - len(classes)} classes without an object')
        lines.append('')
    return '\n'.join(lines[:-1])


def _columns(rows: List[Dict[str, Any]]) -> List[str]:
    """Dicts with the same keys as aligned columns, the first to the left."""
    cells = [[key.replace('_', ' ') for key in rows[0]]]
    cells += [[f'{value:.3f}' if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return ['  '.join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
            for row in cells]
