"""How two numbers of a parity file are compared, and the record of one run."""
import math
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Tuple

import numpy as np
import torch

from mmvis.structures import decode_rle

Path = Tuple[Any, ...]
#: Masks may differ by this many pixels (another OpenCV rounds another way).
MASK_PIXELS = 2


@dataclass
class Stage:
    """One value of ours beside one of the file.

    Attributes:
        path: keys that lead to the reference in the file.
        value: ours, in the form of the reference; a tensor or array where that is a fingerprint.
        given: the reference is an input of the recipe: it is read and not compared.
        rtol, atol: one unit of deviation is ``atol + rtol * |reference|``.
        whole: whole numbers may differ by so many (mask areas of free-running videos, in pixels); 0: not at all.
        areas: whole numbers under a key that speaks of areas may differ by so many, and by this share of the reference.
    """
    path: Path
    value: Any = None
    given: bool = False
    rtol: float = 1e-3
    atol: float = 1e-4
    whole: int = 0
    areas: Tuple[int, float] = (0, 0.)


def is_fingerprint(x: Any) -> bool:
    """A tensor in a parity file: its shape, mean and deviation, and its values at some places."""
    return isinstance(x, dict) and {'shape', 'index', 'value'} <= x.keys()


def _is_rle(x: Any) -> bool:
    return isinstance(x, dict) and x.keys() == {'size', 'counts'}


def array(x: Any) -> np.ndarray:
    return np.asarray(x.detach().cpu().double() if torch.is_tensor(x) else x, dtype=np.float64)


def plain(ours: Any, reference: Any) -> Any:
    """Our value in the form that a parity file has."""
    if is_fingerprint(reference):
        values = array(ours)
        flat = values.reshape(-1)
        index = [i for i in reference['index'] if i < flat.size]
        return dict(shape=list(values.shape), mean=float(flat.mean()) if flat.size else 0.,
                    std=float(flat.std()) if flat.size else 0., index=index, value=flat[index].tolist())
    if torch.is_tensor(ours) or isinstance(ours, (np.ndarray, np.generic)):
        return ours.tolist()
    if isinstance(ours, dict):
        child = reference if isinstance(reference, dict) else {}
        return {str(key): plain(value, child.get(str(key))) for key, value in ours.items()}
    if isinstance(ours, (list, tuple)):
        child = reference if isinstance(reference, list) and len(reference) == len(ours) else [None] * len(ours)
        return [plain(*pair) for pair in zip(ours, child)]
    return ours


def deviation(ours: Any, reference: Any, rtol: float, atol: float, whole: int = 0,
              areas: Tuple[int, float] = (0, 0.)) -> float:
    """Largest deviation in units of the tolerance, for values in the form of the file: at most 1 where they agree.

    Numbers are compared within the tolerance, masks within ``MASK_PIXELS`` pixels, whole numbers within ``whole``;
    strings, keys, lengths and shapes must be equal (inf if not).
    """
    if is_fingerprint(reference):
        if not is_fingerprint(ours) or ours['shape'] != reference['shape']:
            return math.inf
        return _numbers(ours['value'], reference['value'], rtol, atol)
    if _is_rle(reference):
        return _masks(ours, reference)
    if isinstance(reference, dict):
        if not isinstance(ours, dict) or ours.keys() != reference.keys():
            return math.inf
        return max((_area(ours[k], v) if k in ('area', 'mask_area') else
                    _areas(ours[k], v, *areas) if 'area' in k and any(areas) else
                    deviation(ours[k], v, rtol, atol, whole, areas) for k, v in reference.items()), default=0.)
    if isinstance(reference, list):
        if not isinstance(ours, list) or len(ours) != len(reference):
            return math.inf
        return max((deviation(a, b, rtol, atol, whole, areas) for a, b in zip(ours, reference)), default=0.)
    if isinstance(reference, float) and isinstance(ours, (int, float)):
        return _numbers([ours], [reference], rtol, atol)
    if whole and type(reference) is int and type(ours) is int:
        return abs(ours - reference) / whole
    return 0. if ours == reference else math.inf


def _numbers(ours: List[float], reference: List[float], rtol: float, atol: float) -> float:
    a, b = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if a.shape != b.shape:
        return math.inf
    if not a.size:
        return 0.
    units = np.abs(a - b) / (atol + rtol * np.abs(b))
    units[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.
    return math.inf if np.isnan(units).any() else float(units.max())


def _area(ours: Any, reference: Any) -> float:
    """One area, or several by name or in a list."""
    if isinstance(reference, dict):
        same = isinstance(ours, dict) and ours.keys() == reference.keys()
        return max((_area(ours[key], value) for key, value in reference.items()), default=0.) if same else math.inf
    if isinstance(reference, list):
        same = isinstance(ours, list) and len(ours) == len(reference)
        return max((_area(*pair) for pair in zip(ours, reference)), default=0.) if same else math.inf
    return abs(ours - reference) / MASK_PIXELS


def _areas(ours: Any, reference: Any, pixels: int, share: float) -> float:
    """Areas and lists of them; None stands for no mask."""
    if isinstance(reference, list):
        if not isinstance(ours, list) or len(ours) != len(reference):
            return math.inf
        return max((_areas(*pair, pixels, share) for pair in zip(ours, reference)), default=0.)
    if reference is None or ours is None:
        return 0. if ours is reference else math.inf
    return abs(ours - reference) / (pixels + share * reference)


def _masks(ours: Any, reference: dict) -> float:
    if not _is_rle(ours) or ours['size'] != reference['size']:
        return math.inf
    if ours['counts'] == reference['counts']:
        return 0.
    return float((decode_rle(ours) != decode_rle(reference)).sum()) / MASK_PIXELS


def _leaves(x: Any, path: Path = ()) -> Iterable[Path]:
    """Paths of everything in a parity file; fingerprints and lists are ends."""
    if isinstance(x, dict) and x and not is_fingerprint(x):
        for key, value in x.items():
            yield from _leaves(value, path + (key,))
    else:
        yield path


def _get(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


@dataclass
class Run:
    """Stages compared with one parity file.

    Attributes:
        golden: the file; ours: the same tree with our numbers; compared, given: paths; worst: units by path.
    """
    golden: Dict[str, Any]
    ours: Dict[str, Any] = field(default_factory=dict)
    worst: Dict[Path, float] = field(default_factory=dict)
    given: List[Path] = field(default_factory=list)

    def give(self, path: Path) -> None:
        """Take a key of the file that states the recipe."""
        self.take(Stage(path, given=True))

    def take(self, stage: Stage) -> Optional[str]:
        """Compare one stage; the line to print, or nothing for an input of the recipe."""
        try:
            reference = _get(self.golden, stage.path)
        except KeyError:
            return f'--    {".".join(map(str, stage.path))}: not in the file'
        value = reference if stage.given else plain(stage.value, reference)
        self._put(stage.path, value)
        if stage.given:
            self.given.append(stage.path)
            return None
        units = self.worst[stage.path] = deviation(value, reference, stage.rtol, stage.atol, stage.whole, stage.areas)
        verdict = 'exact' if units == 0 else f'{units:.2e} of the tolerance'
        return f'{"ok  " if units <= 1 else "FAIL"}  {".".join(map(str, stage.path)):60s} {verdict}'

    def _put(self, path: Path, value: Any) -> None:
        node, source = self.ours, self.golden
        for key in path[:-1]:
            source = source[key]
            node = node.setdefault(key, {})
        node[path[-1]] = value

    def unread(self) -> List[Path]:
        """Paths of the file that no stage took."""
        taken = set(self.worst) | set(self.given)
        return [path for path in _leaves(self.golden) if not any(path[:n] in taken for n in range(1, len(path) + 1))]

    @property
    def failed(self) -> List[Path]:
        return [path for path, units in self.worst.items() if units > 1]
