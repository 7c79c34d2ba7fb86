"""The four public sets as their servers see them."""
from typing import Dict, Mapping, NamedTuple, Optional

from mmvis.datasets import find_tree
from mmvis.datasets.categories import OVIS, YTVIS_2019, YTVIS_2021, match_published
from mmvis.errors import InputError
from mmvis.evaluation.results_check import Target, load_target

#: All four competitions were here; the numbers in BENCHMARKS are those on it.
CODALAB = 'https://codalab.lisn.upsaclay.fr'
#: Servers that are known to be closed, and since when.
CLOSED = {CODALAB: 'January 2026'}


class Benchmark(NamedTuple):
    """``competition`` and ``server`` are those that the published code bases name; see CLOSED."""
    title: str
    categories: Mapping[int, str]
    competition: int
    server: str = CODALAB
    platform: str = 'codalab'


BENCHMARKS: Dict[str, Benchmark] = {
    'ytvis2019': Benchmark('YouTube-VIS 2019', YTVIS_2019, 6064),
    'ytvis2021': Benchmark('YouTube-VIS 2021', YTVIS_2021, 7680),
    'ytvis2022': Benchmark('YouTube-VIS 2022', YTVIS_2021, 3410),
    'ovis': Benchmark('OVIS', OVIS, 4763),
}


def find_target(ann_file: Optional[str], benchmark: Optional[str]) -> Target:
    """What a results file is checked against.

    Args:
        ann_file: annotation file of the split; without it the one of the benchmark under ``data`` is looked for, and
            if there is none, only the category table is known.
        benchmark: a key of ``BENCHMARKS``: the category table must be the published one, name by name.

    Raises:
        FileNotFoundError, ValueError: neither is given, no such file, or the file is of another set.
    """
    if ann_file is None and benchmark is None:
        raise InputError('Give the annotation file of the split, or --benchmark.')
    if ann_file is None:
        try:
            ann_file = find_tree(benchmark, 'valid').ann_file
        except FileNotFoundError:
            known = BENCHMARKS[benchmark]
            return Target(None, dict(known.categories), known.title)
    target = load_target(ann_file)
    if benchmark is not None:
        known = BENCHMARKS[benchmark]
        match_published(list(target.categories.items()), known.categories, known.title, ann_file)
    return target


def check_open(server: str) -> None:
    """Refuse a server that is known to be closed.

    Raises:
        InputError: it is; the sentence says what there is instead.
    """
    if server in CLOSED:
        raise InputError(f'{server} is closed since {CLOSED[server]}: give --server and --competition of the place that '
                         'took the competition over, or evaluate here where there is ground truth (docs/evaluation.md, '
                         'Without a server).')


def benchmark_of(title: str) -> Optional[str]:
    """The key of ``BENCHMARKS`` of a data set's name; None for other sets."""
    return next((key for key, benchmark in BENCHMARKS.items() if benchmark.title == title), None)
