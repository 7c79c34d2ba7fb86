"""Code of the user's own that a config names in ``custom_imports``: it may lie beside the config."""
import filecmp
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Collection, Dict, Iterator, List, Optional, Set

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmvis.errors import InputError
from mmvis.structures.output_file import write_output

#: Name -> file, or folder of a package, of what lay beside a config and was imported for it.
_own: Dict[str, Path] = {}


def import_own_modules(cfg: Config, file: Path, folders: Collection[Path]) -> None:
    """Import what ``custom_imports`` names, from ``folders`` before all other places.

    Args:
        file: the config, for the sentence.
        folders: of the config and its bases.

    Raises:
        InputError: a module is not there or has a mistake, or another one of its name has been imported before.
    """
    wanted = cfg.get('custom_imports')
    if not wanted:
        return
    start = f'{file} cannot be read as a config: custom_imports is {dict(wanted)}:'
    folders = list(dict.fromkeys(folder.resolve() for folder in folders))
    before = set(sys.modules)
    with _first_on_the_path(folders):
        try:
            import_modules_from_strings(**wanted)
        except Exception as error:  # it is code: anything can go wrong in it
            raise InputError(f'{start} {_reason(error, folders)}.') from error
    for name in {name.partition('.')[0] for name in set(sys.modules) - before} - before:
        place = _place(name)
        if place is not None and place.parent in folders:
            _own[name] = place
    for name in _names(cfg):
        found = next((path for folder in folders for path in (folder / f'{name}.py', folder / name)
                      if path.is_file() or (path / '__init__.py').is_file()), None)
        loaded = _place(name)
        is_copy = found and loaded and loaded.is_file() and found.is_file() and filecmp.cmp(found, loaded, shallow=False)
        if found and loaded and found != loaded and not is_copy:  # a copy is that in a work directory
            raise InputError(f'{start} {found} is meant, but a module {name} is loaded from {loaded}: give it another '
                             'name.')


def copy_own_modules(cfg: Config, folder: str) -> None:
    """Put what lay beside the config, and what that imported from there, beside the copy of the config in ``folder``."""
    folders = {_own[name].parent for name in _names(cfg) if name in _own}
    for place in [place for place in _own.values() if place.parent in folders]:
        files = [place] if place.is_file() else sorted(place.rglob('*.py'))
        for file in files:
            target = Path(folder) / file.relative_to(place.parent)
            if not (target.exists() and filecmp.cmp(file, target, shallow=False)):
                target.parent.mkdir(parents=True, exist_ok=True)
                write_output(str(target), file.read_text(encoding='utf-8'))


@contextmanager
def _first_on_the_path(folders: List[Path]) -> Iterator[None]:
    """They stay on the path, at its end, for processes that are started with a fresh interpreter."""
    texts = list(map(str, folders))
    before = list(sys.path)
    sys.path[:0] = texts
    try:
        yield
    finally:
        sys.path[:] = before + [text for text in texts if text not in before]


def _names(cfg: Config) -> Set[str]:
    """The first parts of what is imported."""
    names = (cfg.get('custom_imports') or {}).get('imports') or ()
    return {name.partition('.')[0] for name in ([names] if isinstance(names, str) else names)}


def _place(name: str) -> Optional[Path]:
    """File of a module, folder of a package; None if it has none or is not loaded."""
    file = getattr(sys.modules.get(name), '__file__', None)
    if file is None:
        return None
    path = Path(file).resolve()
    return path.parent if path.name == '__init__.py' else path


def _reason(error: Exception, folders: List[Path]) -> str:
    if isinstance(error, ImportError) and isinstance(error.__context__, ImportError):
        error = error.__context__  # mmengine's own says only which module was wanted
    if isinstance(error, SyntaxError):
        return f'{error.filename}, line {error.lineno}: {error.msg}'
    text = f'{type(error).__name__}: {" ".join(str(error).split()).rstrip(".")}'
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if any(os.path.realpath(frame.filename).startswith(f'{folder}{os.sep}') for folder in folders):
            return f'{frame.filename}, line {frame.lineno}: {text}'
    return text
