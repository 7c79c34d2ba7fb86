"""An evaluation as JSON and CSV."""
import csv
import io
import json
import os
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple, Union

from mmvis.structures.output_file import write_output

from .errors import ErrorBreakdown
from .rules import Rules
from .subsets import ShortLong
from .tracking import TrackingScores
from .vis_eval import DIAGNOSTICS, Evaluation


def as_dict(evaluation: Evaluation, rules: Rules, parts: Optional[ShortLong] = None,
            tracking: Optional[TrackingScores] = None, errors: Optional[ErrorBreakdown] = None,
            diagnostics: Optional[Mapping[str, Evaluation]] = None) -> Dict[str, Any]:
    """All numbers, ready for JSON. ``names`` and ``stats`` are the 12 (OVIS: 18) in the official order, -1 where there
    is nothing to measure; APs of categories and videos are null there. ``diagnostics`` are evaluations by the names
    of DIAGNOSTICS."""
    out = dict(benchmark=rules.benchmark, strict=rules.strict, **_ap_numbers(evaluation))
    if evaluation.notes:
        out['notes'] = evaluation.notes
    if evaluation.per_video:
        out['per_video'] = {str(video_id): _or_none(ap) for video_id, ap in evaluation.per_video.items()}
    if parts:
        out.update(short=_ap_numbers(parts.short), long=_ap_numbers(parts.long),
                   mean=dict(names=list(parts.mean), stats=list(parts.mean.values())))
    if tracking:
        out['tracking'] = dict(class_averaged=tracking.class_averaged, detection_averaged=tracking.detection_averaged,
                               per_category=tracking.per_category,
                               per_video={str(video_id): scores for video_id, scores in tracking.per_video.items()})
    out.update({name: _ap_numbers(part) for name, part in (diagnostics or {}).items()})
    if errors:
        out['errors'] = dict(ap50=_or_none(errors.ap50), counts=errors.counts, gains=errors.gains,
                             per_video={str(video_id): counts for video_id, counts in errors.per_video.items()})
    return out


def _ap_numbers(evaluation: Evaluation) -> Dict[str, Any]:
    return dict(names=list(evaluation.stats), stats=list(evaluation.stats.values()),
                per_category={name: _or_none(ap) for name, ap in evaluation.per_category.items()})


def _or_none(value: float) -> Optional[float]:
    return value if value > -1 else None


def as_csv(numbers: Dict[str, Any]) -> str:
    """The same numbers, one a line: part, name, metric, value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(('part', 'name', 'metric', 'value'))
    writer.writerows(_rows(numbers))
    return text.getvalue()


def _rows(numbers: Dict[str, Any]) -> Iterator[Tuple[str, str, str, Any]]:
    for part in ('all', 'short', 'long', 'mean', *DIAGNOSTICS):
        source = numbers if part == 'all' else numbers.get(part, {})
        for metric, value in zip(source.get('names', ()), source.get('stats', ())):
            yield part, '', metric, value
    for part, key in (('category', 'per_category'), ('video', 'per_video')):
        for name, value in numbers.get(key, {}).items():
            yield part, name, 'AP', '' if value is None else value
    tracking = numbers.get('tracking', {})
    for part in ('class_averaged', 'detection_averaged'):
        for metric, value in tracking.get(part, {}).items():
            yield part, '', metric, value
    for part, key in (('category', 'per_category'), ('video', 'per_video')):
        for name, scores in tracking.get(key, {}).items():
            for metric, value in scores.items():
                yield part, name, metric, value
    errors = numbers.get('errors', {})
    for name, count in errors.get('counts', {}).items():
        yield 'error', name, 'tracks', count
        gain = errors['gains'][name]
        yield 'error', name, 'AP50 gain', '' if gain is None else gain


def write_json(path: Union[str, os.PathLike], numbers: Dict[str, Any]) -> None:
    """Write numbers to a file of their own; see ``write_output``."""
    write_output(path, json.dumps(numbers, indent=1) + '\n')
