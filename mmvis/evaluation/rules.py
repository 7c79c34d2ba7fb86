"""What is measured: IoU thresholds, ranges of area and of occlusion, and the names of the statistics."""
from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np

from mmvis.errors import InputError

#: linspace, literally: its ninth value is 0.8999999999999999, which decides ties.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: linspace, literally: ten of its values are one unit in the last place off i / 100, which decides ties too.
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
#: How many predictions of one video and category count. More than the last are not looked at; the best ones are kept.
TRACK_CAPS = (1, 10, 100)
#: Mean area of a track in pixels, both ends included.
AREA_RANGES: Dict[str, Tuple[float, float]] = {
    'all': (0.0, 1e10), 'small': (0.0, 128.0**2), 'medium': (128.0**2, 256.0**2), 'large': (256.0**2, 1e10)}
#: Occlusion of a track (OVIS), both ends included.
OCCLUSION_RANGES: Dict[str, Tuple[float, float]] = {
    'all': (0.0, 1.0), 'slight': (0.0, 0.25), 'moderate': (0.25, 0.5), 'heavy': (0.5, 1.0)}
OCCLUSION_LEVELS = {'no_occlusion': 0.0, 'slight_occlusion': 0.25, 'severe_occlusion': 0.75}
BENCHMARKS = ('ytvis', 'ovis')


@dataclass(frozen=True)
class Rules:
    """Which benchmark's rules, and whether to follow its official code where that is plainly a slip.

    Attributes:
        benchmark: 'ytvis' or 'ovis' (which adds the levels of occlusion and asks for lists of equal length).
        strict: as the official code in this too: a prediction that takes the annotation with id 0 counts as wrong; an
            empty list of results is an error; true and false are taken as scores 1 and 0; of two assignments that are
            equally good for the tracking scores the order of the file decides.
    """
    benchmark: str = 'ytvis'
    strict: bool = False

    def __post_init__(self) -> None:
        if self.benchmark not in BENCHMARKS:
            raise InputError(f'benchmark is {self.benchmark!r}; it must be one of {", ".join(BENCHMARKS)}.')

    @property
    def occlusion_ranges(self) -> List[Tuple[float, float]]:
        return list(OCCLUSION_RANGES.values())[:4 if self.benchmark == 'ovis' else 1]

    @property
    def ranges(self) -> List[Tuple[Tuple[float, float], Tuple[float, float]]]:
        """R pairs of an area and an occlusion range; the first is 'all' of both."""
        return [(area, occlusion) for area in AREA_RANGES.values() for occlusion in self.occlusion_ranges]


def outside(values: np.ndarray, limits: Tuple[float, float]) -> np.ndarray:
    """Whether values lie outside a range, both ends of which belong to it; NaN never does."""
    return (values < limits[0]) | (values > limits[1])
