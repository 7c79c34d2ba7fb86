#!/usr/bin/env python3
"""The curves of one or several trainings: losses and AP from their work directories.

    python tools/plot_log.py work_dirs/my_config
    python tools/plot_log.py work_dirs/a work_dirs/b --keys loss loss_mask vis/segm_AP --out curves.png

A work directory holds a folder a run; a run that was resumed takes the place of what an earlier one did from there on,
and one that began anew that of all before. A training that goes on may be plotted, too. Losses stand over iterations, AP
over what the training counts in (epochs or iterations). --keys ? lists the names.
"""
import argparse
import json
import math
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.errors import InputError, InputMissingError, of_user_path  # noqa: E402
from mmvis.structures.output_file import check_output  # noqa: E402

#: Of a row of a training; those of a validation have none of them.
_OF_TRAINING = 'time', 'lr'
#: What tells where a row stands, not how the training goes.
_PLACES = 'epoch', 'iter', 'step'


class Curve(NamedTuple):
    """Values by where they stand; ``unit`` is 'iteration' or 'epoch'."""
    unit: str
    steps: List[int]
    values: List[float]


class Training(NamedTuple):
    name: str
    num_runs: int
    curves: Dict[str, Curve]


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    parser = ToolParser(description='Draw losses and AP of trainings.')
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='work directory, or its scalars.json')
    parser.add_argument('--keys', nargs='+', metavar='KEY',
                        help='what to draw, a panel each; by default the loss and every segm_AP; ? lists them')
    parser.add_argument('--out', default='curves.png', metavar='FILE', help='picture (%(default)s)')
    return parser.parse_args(argv)


def read_training(path: str) -> Training:
    """The curves of a work directory, of all its runs.

    Raises:
        InputMissingError: there is no log.
        InputError: a line of it is damaged, but for the last one, which a killed run may have left half.
    """
    place = Path(path)
    files = [place] if place.is_file() else sorted(place.glob('*/vis_data/scalars.json'))
    if not files and place.is_dir():
        files = sorted(place.glob('vis_data/scalars.json'))
    if not files:
        raise InputMissingError(f'{path} holds no log of a training (*/vis_data/scalars.json; it is written with '
                                "loggers = ['local']).")
    training: List[Dict] = []
    validation: List[Dict] = []
    num_runs = 0
    for file in files:
        rows = read_rows(file)
        steps = [row for row in rows if any(key in row for key in _OF_TRAINING)]
        tests = [row for row in rows if not any(key in row for key in _OF_TRAINING)]
        num_runs += bool(rows)
        if steps and training and steps[0]['step'] <= training[0]['step']:
            training, validation = [], []  # begun anew
            num_runs = 1
        training = [row for row in training if not steps or row['step'] < steps[0]['step']] + steps
        validation = [row for row in validation if not tests or row['step'] < tests[0]['step']] + tests
    by_epoch = any('epoch' in row for row in training)
    curves = {**_curves(training, 'iteration'), **_curves(validation, 'epoch' if by_epoch else 'iteration')}
    return Training(str(place), num_runs, curves)


def read_rows(file: Path) -> List[Dict]:
    with of_user_path(file, 'cannot be read'):
        text = file.read_text(encoding='utf-8', errors='replace')
    rows = []
    lines = text.split('\n')
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not isinstance(row.get('step'), int):
                raise ValueError('it is no object with a step')
        except ValueError as error:
            if number == len(lines):  # without a newline: the run was killed while it wrote
                break
            raise InputError(f'{file}: line {number} is damaged: {error}.') from None
        rows.append(row)
    return rows


def _curves(rows: List[Dict], unit: str) -> Dict[str, Curve]:
    curves: Dict[str, Curve] = {}
    for row in rows:
        for key, value in row.items():
            if key not in _PLACES and isinstance(value, (int, float)):
                curve = curves.setdefault(key, Curve(unit, [], []))
                curve.steps.append(row['step'])
                curve.values.append(float(value))
    return curves


def chosen_keys(trainings: Sequence[Training], wanted: Optional[Sequence[str]]) -> List[str]:
    """Names of the panels.

    Raises:
        InputError: no training has a name that is wanted.
    """
    known = list(dict.fromkeys(key for training in trainings for key in training.curves))
    if not wanted:
        return [key for key in known if key == 'loss' or key.rsplit('/')[-1] == 'segm_AP']
    for key in wanted:
        if key not in known:
            raise InputError(f'--keys {key}: the trainings have {", ".join(known)}.')
    return list(wanted)


def draw(trainings: Sequence[Training], keys: Sequence[str], path: Path) -> None:
    """A panel a key, a line a training; where an epoch was validated a mark. What is not finite is a gap."""
    from mmvis.visualization.figures import new_figure  # noqa: PLC0415  (drawing takes long to import)
    columns = min(len(keys), 2)
    rows = -(-len(keys) // columns)
    with new_figure(path, rows, columns, (6.5 * columns, 4 * rows)) as axes:
        for panel, key in zip(axes.flat, keys):
            for number, training in enumerate(trainings):
                curve = training.curves.get(key)
                if curve is not None:
                    values = [value if math.isfinite(value) else math.nan for value in curve.values]
                    marker = 'o' if len(values) <= 40 else None
                    panel.plot(curve.steps, values, color=f'C{number}', label=training.name, marker=marker, markersize=3)
                    panel.set(xlabel=curve.unit)
            panel.set(title=key)
            panel.grid(alpha=0.3)
            panel.legend(fontsize=8)
        for panel in axes.flat[len(keys):]:
            panel.set_visible(False)


def last_and_best(training: Training, key: str) -> str:
    """Of a loss the last value, of the rest also the highest; with where it stands."""
    curve = training.curves.get(key)
    if curve is None:
        return f'{key} -'
    text = f'{key} {curve.values[-1]:.4g} ({curve.unit} {curve.steps[-1]})'
    finite: List[Tuple[float, int]] = [(value, -step) for step, value in zip(curve.steps, curve.values) if math.isfinite(value)]
    if '/' in key and finite:
        text += f', best {max(finite)[0]:.4g} ({curve.unit} {-max(finite)[1]})'
    return text


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)
    trainings = [read_training(path) for path in args.work_dirs]
    if args.keys == ['?']:
        print('\n'.join(dict.fromkeys(key for training in trainings for key in training.curves)))
        return
    keys = chosen_keys(trainings, args.keys)
    if not keys:
        raise InputError(f'{args.work_dirs[0]} has neither a loss nor an AP as yet; --keys ? lists what there is.')
    check_output(args.out, [path for path in args.work_dirs if Path(path).is_file()])
    for training in trainings:
        runs = f'{training.num_runs} run{"s" if training.num_runs > 1 else ""}'
        print(f'{training.name} ({runs}): ' + '; '.join(last_and_best(training, key) for key in keys))
    draw(trainings, keys, Path(args.out))
    print(args.out)


if __name__ == '__main__':
    run_tool(main)
