"""What a converter is: how to know a layout by its keys, and where each key goes."""
import re
from dataclasses import dataclass
from typing import Any, Callable, Collection, Dict, Sequence, Tuple

from torch import Tensor

StateDict = Dict[str, Tensor]
#: (pattern, replacement) of names, see ``renamed``.
Rules = Sequence[Tuple[str, str]]


def renamed(key: str, rules: Rules) -> str:
    """A key to which all rules that fit are applied, in their order."""
    for pattern, ours in rules:
        key = re.sub(pattern, ours, key)
    return key


@dataclass(frozen=True)
class Layout:
    """One published way to name the tensors of a checkpoint.

    Attributes:
        name: for people.
        matches: (keys of the file, keys of the model) -> is this the layout?
        convert: (state dict of the file, model) -> (tensors by key of the model, reasons by key of the file for those
            that are left out). Raises ValueError with one sentence for a file that must not be used.
    """
    name: str
    matches: Callable[[Collection[str], Collection[str]], bool]
    convert: Callable[[StateDict, Any], Tuple[StateDict, Dict[str, str]]]
