"""The published checkpoints and the models they make with their configs: models/checkpoints.json, the one table of them.

Imports the standard library only.
"""
import difflib
import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

from mmvis.errors import InputError
from mmvis.shipped import SHIPPED, find_checkpoint

TABLE = SHIPPED / 'models' / 'checkpoints.json'
Entry = Dict[str, Any]


def read_table() -> List[Entry]:
    """The published checkpoints, and the small ones that come with the project.

    Each has ``file`` (its name in models/; without a suffix it is a folder), ``system``, ``what``, ``page`` (where its
    authors speak of it), ``url`` (None: it cannot be fetched, ``what`` says why), and as far as they are known ``size`` in
    bytes, the beginning of ``sha256`` or ``md5``, and ``licence``; ``shipped`` is true of what comes with the project.
    One that is a model, and no start of a training, has its ``config``, the ``data`` set whose classes it knows, and as
    far as it is published ``ap``, in percent, on the validation videos (of COCO: images) of that set, as the README of its
    configs has it.
    """
    return json.loads(TABLE.read_text(encoding='utf-8'))


def name_of(entry: Entry) -> str:
    return entry['file'].removesuffix('.pth')


def read_models() -> List[Entry]:
    """The checkpoints that are models."""
    return [entry for entry in read_table() if 'config' in entry]


def find_entry(name: str) -> Entry:
    """The checkpoint of a name, with or without .pth.

    Raises:
        InputError: there is none; with the nearest names.
    """
    return _find(name, read_table(), 'checkpoint', 'mmvis download --list')


def find_model(name: str) -> Entry:
    """As ``find_entry``, for a model.

    Raises:
        InputError: there is none, or it is the start of a training; with the nearest names.
    """
    table = {name_of(entry): entry for entry in read_table()}
    found = table.get(Path(name).name.removesuffix('.pth'))
    if found is not None and 'config' not in found:
        raise InputError(f'{name!r} is no model but a checkpoint to start from ({found["what"]}): mmvis models lists the '
                         'models.')
    return _find(name, read_models(), 'model', 'mmvis models')


def _find(name: str, entries: Iterable[Entry], kind: str, lister: str) -> Entry:
    table = {name_of(entry): entry for entry in entries}
    wanted = Path(name).name.removesuffix('.pth')
    if wanted not in table:
        close = difflib.get_close_matches(wanted, table, n=3)
        raise InputError(f'There is no {kind} {name!r}' + (f'; did you mean {" or ".join(close)}?' if close else
                                                           f'; {lister} shows the names.'))
    return table[wanted]


def on_disk(entry: Entry) -> Optional[Path]:
    """Where the checkpoint is: in ``models/`` of the present folder, of the checkout, or in the package; None if nowhere."""
    path = Path(find_checkpoint(Path('models', entry['file']))).absolute()
    return path if path.exists() else None
