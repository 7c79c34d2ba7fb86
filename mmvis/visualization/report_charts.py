"""Charts of the evaluation report as inline SVG, without a script or an outside resource."""
from html import escape
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from mmvis.evaluation.errors import show_gain

#: Colors that people with any color vision tell apart (after P. Tol), for lines and identities.
PALETTE = ('#4477aa', '#ee7733', '#228833', '#aa3377', '#ccbb44', '#66ccee', '#997755')
FAINT = '#ddd'


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return (f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
            f'aria-label="{escape(label)}">{"".join(parts)}</svg>')


def _text(x: float, y: float, text: str, anchor: str = 'start', size: int = 12) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length - 1] + '…'


def category_bars(values: Sequence[Tuple[str, float, float, int]]) -> str:
    """Horizontal bars.

    Args:
        values: name, AP (dark bar), AP50 (light bar) and number of annotated tracks of each category.
    """
    row, full = 20, 470
    left = min(170, 30 + 7 * max((len(value[0]) for value in values), default=0))
    parts = [f'<line x1="{left + full * x / 4:g}" y1="18" x2="{left + full * x / 4:g}" y2="{22 + row * len(values)}" '
             f'stroke="{FAINT}"/>' + _text(left + full * x / 4, 12, f'{x / 4:g}', 'middle') for x in range(5)]
    for i, (name, ap, ap50, tracks) in enumerate(values):
        y = 22 + row * i
        parts += [_text(left - 8, y + 12, _shorten(name, 22), 'end'),
                  f'<rect x="{left}" y="{y + 1}" width="{full * ap50:.1f}" height="{row - 5}" fill="#bcd0e8"/>',
                  f'<rect x="{left}" y="{y + 1}" width="{full * ap:.1f}" height="{row - 5}" fill="{PALETTE[0]}">'
                  f'<title>{escape(name)}: AP {ap:.3f}, AP50 {ap50:.3f}</title></rect>',
                  _text(left + full + 10, y + 12, f'{ap:.3f} / {ap50:.3f}   ({tracks} tracks)')]
    return _svg(left + full + 200, 26 + row * len(values), parts, 'AP by category')


def curves(recall: np.ndarray, lines: Dict[str, np.ndarray], title: str, size: Tuple[int, int] = (420, 300),
           legend: bool = True) -> str:
    """Precision over recall.

    Args:
        recall: float64 [points].
        lines: name -> precision, float64 [points].
    """
    width, height = size
    left, top, w, h = 40, 24, width - 56, height - 60
    parts = [_text(left, 14, _shorten(title, 34), size=13)]
    for step in range(6):
        x, y = left + w * step / 5, top + h * (1 - step / 5)
        parts += [f'<path d="M{x:g} {top}V{top + h}M{left} {y:g}H{left + w}" stroke="{FAINT}"/>']
        if step % 5 == 0 or legend:
            parts += [
                _text(x, top + h + 14, f'{step / 5:g}', 'middle', 10),
                _text(left - 5, y + 4, f'{step / 5:g}', 'end', 10)
            ]
    for color, (name, precision) in zip(PALETTE, lines.items()):
        points = ' '.join(f'{left + w * x:.1f},{top + h * (1 - y):.1f}' for x, y in zip(recall, precision))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.8">'
                     f'<title>{escape(name)}</title></polyline>')
    if legend:
        parts += [_text(left + w / 2, top + h + 30, 'recall', 'middle'), _text(4, 14, 'prec.', size=10)]
        for i, (color, name) in enumerate(zip(PALETTE, lines)):
            parts += [f'<rect x="{left + w - 92}" y="{top + 8 + 17 * i}" width="10" height="10" fill="{color}"/>',
                      _text(left + w - 78, top + 17 + 17 * i, name)]
    return _svg(width, height, parts, title)


def error_bars(gains: Dict[str, Optional[float]], counts: Dict[str, int]) -> str:
    """What mending each kind of error would add to AP50."""
    row, left, full = 24, 110, 330
    widths = {name: max(0, gain or 0) for name, gain in gains.items()}
    scale = full / max(0.05, *widths.values())
    parts = []
    for i, (name, gain) in enumerate(gains.items()):
        y, width = row * i, widths[name] * scale
        parts += [
            _text(left - 8, y + 16, name, 'end'),
            f'<rect x="{left}" y="{y + 4}" width="{width:.1f}" height="{row - 8}" fill="{PALETTE[1]}"/>',
            _text(left + width + 8, y + 16, f'{show_gain(gain)}   ({counts[name]} tracks)')
        ]
    return _svg(left + full + 170, row * len(gains) + 4, parts, 'Errors')
