"""The evaluation of a results file as one HTML page that needs nothing else."""
import math
import time
from html import escape
from pathlib import Path
from typing import Any, Iterable, Optional, Sequence

import numpy as np

from mmvis.evaluation.errors import ERRORS, ErrorBreakdown
from mmvis.evaluation.rules import IOU_THRESHOLDS, RECALL_POINTS
from mmvis.evaluation.subsets import ShortLong
from mmvis.evaluation.tracking import TRACKING_SCORES, TrackingScores
from mmvis.evaluation.vis_eval import MEANING, Evaluation, Evaluator, show

from .report_charts import category_bars, curves, error_bars

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #333; max-width: 900px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: 0; }
h2 { font-size: 1.15em; margin: 1.8em 0 .5em; border-bottom: 1px solid #ddd; }
.note { color: #666; } .tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 1em 0; }
.tile { border: 1px solid #ddd; border-radius: 6px; padding: 6px 16px; } .tile b { display: block; font-size: 1.5em; }
table { border-collapse: collapse; } td, th { padding: 1px 12px 1px 0; text-align: left; } td.n { text-align: right;
font-variant-numeric: tabular-nums; } svg { max-width: 100%; height: auto; } svg text { fill: #333; }
.side { display: flex; flex-wrap: wrap; gap: 24px; } summary { cursor: pointer; }
"""


def make_report(results_name: str, evaluator: Evaluator, evaluation: Evaluation, tracking: TrackingScores,
                errors: ErrorBreakdown, min_score: float = -math.inf, parts: Optional[ShortLong] = None) -> str:
    """The page.

    Args:
        results_name: name of the results file.
        min_score: results with a lower score were left out of ``tracking``.
        parts: short and long videos apart, if they were evaluated.
    """
    rules, truth = evaluator.rules, evaluator.truth
    kept = f'Results that score below {min_score:g} are left out.' if min_score > -math.inf else 'All results count.'
    body = [
        f'<h1>{escape(Path(results_name).name)}</h1>',
        f'<p class="note">against {escape(Path(truth.path).name)}: {len(truth.videos)} videos, {len(truth.masks)} '
        f'annotated tracks, {sum(map(len, evaluator.entries.values()))} results. Rules: {rules.benchmark}'
        f'{", strict" if rules.strict else ""}. {time.strftime("%Y-%m-%d %H:%M")}</p>',
        _tiles(evaluation, tracking),
        '<h2>Average precision and recall</h2>',
        '<div class="side">' + _table(('', '', ''), ([name, show(value), MEANING[name]]
                                                     for name, value in evaluation.stats.items()))
        + (_parts_table(parts) if parts else '') + '</div>',
        '<h2>By category</h2><p class="note">Dark: AP; light: AP50.</p>', _categories(evaluator, evaluation),
        '<h2>Precision and recall</h2>', _precision_recall(evaluation),
        '<h2>Errors at IoU 0.50</h2><p class="note">What AP50 would gain if all errors of one kind were mended; AP50 '
        f'is {show(errors.ap50)}.</p><div class="side">{error_bars(errors.gains, errors.counts)}'
        + _table(('error', ''), ERRORS.items()) + '</div>',
        f'<h2>Tracking</h2><p class="note">Mask by mask, frame by frame. {kept}</p>',
        _table(('', 'by class', 'by mask', ''), ([name, _number(tracking.class_averaged[name]),
                                                   _number(tracking.detection_averaged[name]), meaning]
                                                  for name, meaning in TRACKING_SCORES.items())),
        '<p class="note">Video by video, frame by frame: mmvis view.</p>']
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width"><title>{escape(Path(results_name).name)}: evaluation</title>'
            f'<style>{_STYLE}</style></head><body>\n' + '\n'.join(body) + '\n</body></html>\n')


def _tiles(evaluation: Evaluation, tracking: TrackingScores) -> str:
    shown = ('AP', 'AP50', 'AP75', 'AP_so', 'AP_mo', 'AP_ho', 'AR1', 'AR10')
    values = {name: evaluation.stats[name] for name in shown if name in evaluation.stats}
    values.update({name: tracking.class_averaged[name] for name in ('HOTA', 'IDF1')})
    return '<div class="tiles">' + ''.join(f'<div class="tile">{name}<b>{show(value)}</b></div>'
                                           for name, value in values.items()) + '</div>'


def _number(value: float) -> str:
    return f'{value:.0f}' if value == int(value) and abs(value) > 1 else f'{value:.3f}'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cell(text: Any) -> str:
        numeric = str(text).replace('.', '').replace('-', '').isdigit() or text == '-'
        return f'<td{" class=n" if numeric else ""}>{escape(str(text))}</td>'

    top = '<tr>' + ''.join(f'<th>{escape(text)}</th>' for text in head) + '</tr>' if any(head) else ''
    return '<table>' + top + ''.join('<tr>' + ''.join(map(cell, row)) + '</tr>' for row in rows) + '</table>'


def _parts_table(parts: ShortLong) -> str:
    columns = (parts.short.stats, parts.long.stats, parts.mean, parts.union.stats)
    return _table(('', 'short', 'long', 'mean', 'union'),
                  ([name, *(show(stats[name]) for stats in columns)] for name in parts.mean))


def _all_ranges(evaluation: Evaluation) -> np.ndarray:
    """Precision over all areas (and occlusions) with the highest cap: float64 [T, 101, K]."""
    precision = evaluation.precision
    while precision.ndim > 3:
        precision = precision[..., -1 if precision.ndim == evaluation.precision.ndim else 0]
    return precision


def _categories(evaluator: Evaluator, evaluation: Evaluation) -> str:
    ap50 = _all_ranges(evaluation)[0].mean(0)
    tracks = np.bincount(np.concatenate([video.categories for video in evaluator.truth.videos.values()]),
                         minlength=len(ap50))
    rows = [(name, ap, float(ap50[k]), int(tracks[k])) for k, (name, ap) in enumerate(evaluation.per_category.items())
            if ap > -1]
    absent = [name for name, ap in evaluation.per_category.items() if ap == -1]
    note = f'<p class="note">Not annotated here: {escape(", ".join(absent))}.</p>' if absent else ''
    return category_bars(sorted(rows, key=lambda row: -row[1])) + note


def _precision_recall(evaluation: Evaluation) -> str:
    precision = _all_ranges(evaluation)
    valid = np.flatnonzero(precision[0, 0] > -1)
    if not len(valid):
        return ''
    chosen = {f'IoU {IOU_THRESHOLDS[t]:.2f}': t for t in (0, 3, 5, 7, 9)}
    overall = curves(RECALL_POINTS, {name: precision[t][:, valid].mean(1) for name, t in chosen.items()},
                     'mean over categories', (620, 340))
    names = list(evaluation.per_category)
    few = list(chosen.items())[::2]
    small = [curves(RECALL_POINTS, {name: precision[t, :, k] for name, t in few}, names[k], (210, 170), legend=False)
             for k in valid]
    return (overall + '<details><summary>By category</summary><p class="note">IoU 0.50, 0.75 and 0.95.</p><div>'
            + ''.join(small) + '</div></details>')
