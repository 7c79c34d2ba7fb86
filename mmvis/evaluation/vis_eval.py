"""AP and AR of a results file by the official rules of YouTube-VIS and OVIS."""
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from mmvis.annotations import no_garbage_collection, read_json
from mmvis.log import print_log
from mmvis.processes import begin_worker

from .curves import Curves, make_curves
from .diagnostics import match_oracle_identity, match_single_frames
from .errors import ErrorBreakdown, VideoErrors, summarize_errors, video_errors
from .ground_truth import GroundTruth, join_truths, load_ground_truth
from .matching import Entry, VideoMatch, group_by_video, match_video, uncounted_entries
from .rules import AREA_RANGES, IOU_THRESHOLDS, TRACK_CAPS, Rules
from .tracking import TrackingScores, VideoTracking, summarize_tracking, track_video

MEANING = {
    'AP': 'IoU 0.50:0.95', 'AP50': 'IoU 0.50', 'AP75': 'IoU 0.75', 'APs': 'area up to 128 x 128',
    'APm': 'area up to 256 x 256', 'APl': 'area above', 'AP_so': 'slightly occluded', 'AP_mo': 'moderately occluded',
    'AP_ho': 'heavily occluded', 'AR1': 'best track of a video and category', 'AR10': 'best 10', 'AR100': 'best 100',
    'ARs': 'area up to 128 x 128', 'ARm': 'area up to 256 x 256', 'ARl': 'area above', 'AR_so': 'slightly occluded',
    'AR_mo': 'moderately occluded', 'AR_ho': 'heavily occluded'}

#: How the results of a video are matched to tell what costs AP, masks and classes or identities.
DIAGNOSTICS = {'single_frames': match_single_frames, 'oracle_identity': match_oracle_identity}


@dataclass
class Evaluation:
    """Statistics of a results file. -1 says that there is nothing to be measured (no annotation of that kind).

    Attributes:
        stats: AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl -> value in 0 .. 1, in the official order; for OVIS
            with AP_so AP_mo AP_ho after APl and AR_so AR_mo AR_ho at the end.
        per_category: name -> AP.
        precision: float64 [IoU thresholds, recall points, categories, area ranges, caps]; for OVIS with an axis of
            occlusion ranges after the area ranges.
        recall: float64 [IoU thresholds, categories, area ranges, caps], for OVIS likewise.
        scores: as precision, the scores at which the recall points are reached.
        per_video: video id -> AP over the categories annotated in it; empty unless asked for.
        notes: sentences on results that did not count.
    """
    stats: Dict[str, float]
    per_category: Dict[str, float]
    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray
    per_video: Dict[Union[int, str], float] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)

    def table(self) -> str:
        """The statistics, the AP of each category and the notes as text."""
        lines = [f'{name:<6}{show(value):>6}  {MEANING[name]}' for name, value in self.stats.items()]
        annotated = {name: ap for name, ap in self.per_category.items() if ap > -1}
        lines += ['', 'AP by category', *in_columns(annotated)]
        if len(annotated) < len(self.per_category):
            lines.append(f'{len(self.per_category) - len(annotated)} of the {len(self.per_category)} categories are '
                         f'not annotated and do not count.')
        lines += [f'note: {note}' for note in self.notes]
        return '\n'.join(lines)


def show(value: float) -> str:
    return f'{value:.3f}' if value > -1 else '-'


def in_columns(values: Dict[str, float], width: int = 100) -> List[str]:
    """Names and values, several on a line."""
    longest = max((len(name) for name in values), default=0)
    cells = [f'{name:<{longest}} {show(value):>5}' for name, value in values.items()]
    columns = max(1, width // (longest + 9))
    return ['   '.join(cells[i:i + columns]) for i in range(0, len(cells), columns)]


def side_by_side(columns: Dict[str, Dict[str, float]]) -> str:
    """Statistics of several evaluations as text; they must have the same names."""
    widths = {name: max(8, len(name) + 2) for name in columns}
    lines = [f'{"":<6}' + ''.join(f'{name:>{width}}' for name, width in widths.items())]
    for statistic in next(iter(columns.values())):
        lines.append(f'{statistic:<6}' + ''.join(f'{show(columns[name][statistic]):>{width}}'
                                                 for name, width in widths.items()))
    return '\n'.join(lines)


def accumulate(matches: Iterable[VideoMatch], truth: GroundTruth, rules: Rules = Rules(),
               category_ids: Optional[Iterable[int]] = None) -> Evaluation:
    """Statistics of videos that were matched one by one.

    Args:
        matches: one a video, in any order. Equal scores are ranked by video id.
        truth: gives the categories of the annotation file.
        category_ids: those that count; by default all of the annotation file.
    """
    curves = make_curves(list(matches), len(truth.names), range(len(rules.ranges)))
    chosen = truth.category_ids if category_ids is None else sorted(set(category_ids) & set(truth.category_ids))
    chosen = [truth.category_ids.index(category_id) for category_id in chosen]
    curves = Curves(*(array[..., chosen, :, :] for array in curves))
    num_areas, num_occlusions = len(AREA_RANGES), len(rules.occlusion_ranges)
    split = (num_areas, num_occlusions, len(TRACK_CAPS))
    precision, recall, scores = (array.reshape(*array.shape[:-2], *split) for array in curves)
    stats = _statistics(precision, recall)
    per_category = {truth.names[i]: mean_valid(precision[:, :, k, 0, 0, -1]) for k, i in enumerate(chosen)}
    if rules.benchmark != 'ovis':
        precision, recall, scores = (array[..., 0, :] for array in (precision, recall, scores))
    return Evaluation(stats, per_category, precision, recall, scores)


def mean_valid(values: np.ndarray) -> float:
    """Mean of the entries above -1; -1 if there is none."""
    valid = values[values > -1]
    return float(np.mean(valid)) if valid.size else -1.0


def _statistics(precision: np.ndarray, recall: np.ndarray) -> Dict[str, float]:
    """The official numbers, in their order, of arrays with axes for areas, occlusions and caps at the end."""
    def ap(threshold: Optional[float] = None, area: int = 0, occlusion: int = 0) -> float:
        chosen = slice(None) if threshold is None else np.flatnonzero(IOU_THRESHOLDS == threshold)
        return mean_valid(precision[chosen][..., area, occlusion, -1])

    def ar(area: int = 0, occlusion: int = 0, cap: int = -1) -> float:
        return mean_valid(recall[..., area, occlusion, cap])

    areas, levels = ((1, 's'), (2, 'm'), (3, 'l')), ((1, '_so'), (2, '_mo'), (3, '_ho'))
    levels = levels if precision.shape[-2] > 1 else ()
    stats = {'AP': ap(), 'AP50': ap(0.5), 'AP75': ap(0.75)}
    stats.update({f'AP{name}': ap(area=a) for a, name in areas})
    stats.update({f'AP{name}': ap(occlusion=o) for o, name in levels})
    stats.update({f'AR{cap}': ar(cap=m) for m, cap in enumerate(TRACK_CAPS)})
    stats.update({f'AR{name}': ar(area=a) for a, name in areas})
    stats.update({f'AR{name}': ar(occlusion=o) for o, name in levels})
    return stats


def per_video_ap(matches: Iterable[VideoMatch], num_categories: int) -> Dict[Union[int, str], float]:
    """AP of every video on its own, -1 for a video without annotations."""
    return {match.video_id: mean_valid(make_curves([match], num_categories, [0], TRACK_CAPS[-1:]).precision)
            for match in matches}


class Evaluator:
    """A results file matched with an annotation file: the statistics of all videos or of some.

    Args:
        results: path or list of entries.
        ann_file: annotation file, or several that are read as one.
        rules: of which benchmark.
        workers: processes that share the videos out among them.
        category_ids: the categories that count; by default all of the annotation file.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: an unknown video, a missing key, a score that is no number, a mask that does not fill its frame.
    """

    def __init__(self, results: Union[str, os.PathLike, Sequence[Entry]],
                 ann_file: Union[str, os.PathLike, Sequence[Union[str, os.PathLike]]],
                 rules: Rules = Rules(), workers: int = 1, category_ids: Optional[Sequence[int]] = None) -> None:
        source = 'The results'
        if isinstance(results, (str, os.PathLike)):
            source, results = str(results), read_json(results)
        self.rules, self.workers, self.category_ids = rules, workers, category_ids
        files = [ann_file] if isinstance(ann_file, (str, os.PathLike)) else ann_file
        truths = [load_ground_truth(file) for file in files]
        self.truth = truths[0] if len(truths) == 1 else join_truths(truths)
        self.entries = group_by_video(self.truth, results, source, rules)
        with no_garbage_collection():
            self.matches = share_out(_match_by, list(self.truth.videos), workers, match_video, self.truth, self.entries,
                                     rules)

    def evaluate(self, video_ids: Optional[Iterable[Union[int, str]]] = None, per_video: bool = False) -> Evaluation:
        """Statistics of all videos, or of those named as if there were no others."""
        chosen = None if video_ids is None else set(video_ids)
        matches = [match for match in self.matches if chosen is None or match.video_id in chosen]
        evaluation = accumulate(matches, self.truth, self.rules, self.category_ids)
        if chosen is None:
            evaluation.notes = uncounted_entries(self.truth, self.entries, matches)
        if per_video:
            evaluation.per_video = per_video_ap(matches, len(self.truth.names))
        return evaluation

    def tracking(self, min_score: float = -math.inf) -> TrackingScores:
        """HOTA, IDF1, MOTA and their parts over the results that score at least ``min_score``."""
        with no_garbage_collection():
            videos = share_out(_track, list(self.truth.videos), self.workers, self.truth, self.entries, min_score,
                               self.rules.strict)
        return summarize_tracking(videos, self.truth.names)

    def diagnose(self, name: str) -> Evaluation:
        """Statistics by one of DIAGNOSTICS."""
        with no_garbage_collection():
            matches = share_out(_match_by, list(self.truth.videos), self.workers, DIAGNOSTICS[name], self.truth,
                                self.entries, self.rules)
            return accumulate(matches, self.truth, self.rules, self.category_ids)

    def find_errors(self) -> List[VideoErrors]:
        """What is wrong with the results at IoU 0.5, video by video."""
        with no_garbage_collection():
            return share_out(_find_errors, self.matches, self.workers, self.truth, self.entries)

    def errors(self) -> ErrorBreakdown:
        """How much of each kind is wrong with the results at IoU 0.5."""
        return summarize_errors(self.find_errors(), len(self.truth.names))


def _track(video_id: Union[int, str], truth: GroundTruth, entries: Dict[Any, List[Entry]],
           min_score: float, strict: bool) -> VideoTracking:
    return track_video(truth, truth.videos[video_id], entries[video_id], min_score, strict)


def _find_errors(match: VideoMatch, truth: GroundTruth, entries: Dict[Any, List[Entry]]) -> VideoErrors:
    return video_errors(truth, truth.videos[match.video_id], entries[match.video_id], match)


def _match_by(video_id: Union[int, str], match: Callable, truth: GroundTruth, entries: Dict[Any, List[Entry]],
              rules: Rules) -> VideoMatch:
    return match(truth, truth.videos[video_id], entries[video_id], rules)


_shared: Tuple[Any, ...] = ()


def share_out(function: Any, items: Sequence[Any], workers: int, *arguments: Any) -> List[Any]:
    """``[function(item, *arguments) for item in items]``, in ``workers`` processes when there are more than one.

    The processes are forked, so that they find the arguments in their memory; where that is impossible (Windows) all
    is done in this process.
    """
    global _shared
    workers = min(workers, len(items))
    if workers > 1 and 'fork' not in multiprocessing.get_all_start_methods():
        print_log('More than one process needs fork, which this system lacks: going on with one.', logger='current')
        workers = 1
    if workers <= 1:
        return [function(item, *arguments) for item in items]
    _shared = (function, *arguments)
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context('fork'), begin_worker, (os.getpid(),)) as pool:
            try:
                return list(pool.map(_call_shared, items, chunksize=max(1, len(items) // (8 * workers))))
            except KeyboardInterrupt:
                for worker in multiprocessing.active_children():  # else the pool waits for what they are at
                    worker.kill()
                raise
    finally:
        _shared = ()


def _call_shared(item: Any) -> Any:
    return _shared[0](item, *_shared[1:])


def evaluate_results(results: Union[str, os.PathLike, Sequence[Entry]], ann_file: Union[str, os.PathLike],
                     rules: Rules = Rules(), workers: int = 1) -> Evaluation:
    """Evaluate a results file, or its list of entries, against an annotation file.

    Videos without results count as missed. An empty list has AP 0.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: an unknown video, a missing key, a score that is no number, a mask that does not fill its frame.
    """
    with no_garbage_collection():  # until the entries are gone again
        return Evaluator(results, ann_file, rules, workers).evaluate()
