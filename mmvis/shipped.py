"""What is delivered beside the code: configs, tools, the table of published checkpoints and the small sample models.

In a checkout they are the folders of its top level; a wheel carries them in ``mmvis/_shipped``, in the same layout. No
other checkout is ever looked at. Imports the standard library only.
"""
import os
from pathlib import Path
from typing import List, Union

_PACKAGE = Path(__file__).resolve().parent
#: Holds ``configs/``, ``models/`` and ``tools/``.
SHIPPED = _PACKAGE / '_shipped' if (_PACKAGE / '_shipped').is_dir() else _PACKAGE.parent


def shipped_folders(name: str) -> List[Path]:
    """Where files of a kind (``configs``, ``models``) are looked up by name: the present folder, then the package."""
    here = Path(name).resolve()
    return [here] if here == SHIPPED / name else [here, SHIPPED / name]


def models_folder() -> Path:
    """Where checkpoints are put: ``models/`` of a checkout, or of the present folder for an installed package."""
    return Path('models').resolve() if SHIPPED.parent == _PACKAGE else SHIPPED / 'models'


def find_checkpoint(path: Union[str, os.PathLike]) -> str:
    """A checkpoint that is not at the path given is looked up by its file name in ``models/``, here and in the package.

    Returns the path as it is when there is none: whoever reads it has the sentence.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        for folder in shipped_folders('models'):
            found = folder / os.path.basename(path)
            if os.path.basename(path) and os.path.exists(found):
                return str(found)
    return path
