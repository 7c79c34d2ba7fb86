"""`tools/benchmark.py evaluation`: CPU seconds from two files to AP, beside mmdet's copy of the official code.

The sets are made on the spot (tests/helpers/eval_sets.py). All run in this process, one after another, with one thread;
the loops of numba are warm. That both give the same precision and recall, bit by bit, is checked at the same time.
"""
import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from mmdet.evaluation.functional import YTVIS, YTVISeval

from mmvis.cli import number_in  # noqa: E402
from mmvis.evaluation import Evaluation, Evaluator, evaluate_results
from mmvis.structures.compiled import NUMBA_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tests'))

from helpers.eval_sets import write_set  # noqa: E402

SETS = ('big60', 'ovis12', 'dense', 'val21', 'ovis140')
#: CPU seconds of the official code (youtubevos/cocoapi under Python 3.7 and NumPy 1.17), measured once on another
#: machine.
OFFICIAL = {'big60': 1.66, 'ovis12': 1.62, 'dense': 2.47, 'val21': 7.66, 'ovis140': 11.60}
_START = ('import sys, time; import mmvis.evaluation as e; files = sys.argv[1:]; begin = time.process_time(); '
          'e.evaluate_results(*files); print(time.process_time() - begin)')


def add_arguments(commands: Any) -> None:
    """Add the command to the parser of benchmark.py."""
    parser = commands.add_parser('evaluation', help='seconds from a results file to AP')
    parser.add_argument('--sets', nargs='+', choices=SETS, default=list(SETS), help='which sets (all)')
    parser.add_argument('--rounds', type=number_in(1), default=3, metavar='N',
                        help='measurements of each, of which the median (3)')


def benchmark_evaluation(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ['XDG_CACHE_HOME'] = folder  # the copies of the annotations go here
        print(f'numpy {np.__version__}, python {sys.version.split()[0]}, {time.strftime("%Y-%m-%d")}; CPU seconds, '
              f'one thread, median of {args.rounds}')
        print_start(Path(folder))
        print('| set | predicted masks | official code, elsewhere | mmdet | ours, first run | ours, annotations kept | '
              'ours, NumPy only | HOTA, IDF1, MOTA |\n|---|---|---|---|---|---|---|---|')
        for name in args.sets:
            (Path(folder) / name).mkdir()
            print_row(name, *measure(write_set(name, Path(folder) / name), args.rounds))


def print_start(folder: Path) -> None:
    """The time that numba takes to compile its loops, and to load them again in a new process."""
    gt, results = write_set('tiny', folder)
    environment = dict(os.environ, NUMBA_CACHE_DIR=str(folder / 'numba'), PYTHONPATH=str(ROOT))
    command = [sys.executable, '-c', _START, str(results), str(gt)]
    cold, warm = (float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
                  for _ in range(2))
    print(f'first evaluation of a process: {cold:.2f} with nothing compiled, {warm:.2f} afterwards\n')


def measure(files: Tuple[Path, Path], rounds: int) -> Tuple[Dict[str, List[float]], int]:
    """CPU seconds by what was measured, and the number of predicted masks."""
    gt, results = files
    evaluate_results(results, gt)
    seconds: Dict[str, List[float]] = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        begin = time.process_time()
        value = function()
        seconds.setdefault(name, []).append(time.process_time() - begin)
        return value

    for _ in range(rounds):
        peer = timed('mmdet', lambda: evaluate_with_mmdet(gt, results))
        for copy in Path(os.environ['XDG_CACHE_HOME'], 'mmvis', 'annotations').glob('truth*'):
            copy.unlink()
        check_equal(timed('first', lambda: evaluate_results(results, gt)), peer)
        check_equal(timed('kept', lambda: evaluate_results(results, gt)), peer)
        os.environ[NUMBA_VARIABLE] = '0'
        check_equal(timed('numpy', lambda: evaluate_results(results, gt)), peer)
        del os.environ[NUMBA_VARIABLE]
    evaluator = Evaluator(results, gt)
    timed('tracking', evaluator.tracking)
    entries = [entry for entries in evaluator.entries.values() for entry in entries]
    return seconds, sum(bool(rle) for entry in entries for rle in entry['segmentations'])


def evaluate_with_mmdet(gt: Path, results: Path) -> YTVISeval:
    np.float = float  # noqa: NPY001  which mmdet 3.3 still asks for
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = YTVIS(str(gt))
            evaluation = YTVISeval(truth, truth.loadRes(str(results)), 'segm')
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
    finally:
        del np.float  # noqa: NPY001
    return evaluation


def check_equal(ours: Evaluation, peer: YTVISeval) -> None:
    for name in ('precision', 'recall', 'scores'):
        if not np.array_equal(getattr(ours, name), peer.eval[name]):
            raise AssertionError(f'{name} differs from that of mmdet')


def print_row(name: str, seconds: Dict[str, List[float]], masks: int) -> None:
    median = {key: statistics.median(values) for key, values in seconds.items()}

    def ratio(key: str) -> str:
        return f'{median[key]:.2f} ({median["mmdet"] / median[key]:.1f} x)'

    print(f'| {name} | {masks} | {OFFICIAL[name]:.2f} | {median["mmdet"]:.2f} | {ratio("first")} | {ratio("kept")} | '
          f'{ratio("numpy")} | {median["tracking"]:.2f} |', flush=True)
