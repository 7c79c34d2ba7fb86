"""Reading configs."""
import ast
import functools
import os
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Optional

import mmengine.config.config as mmengine_config
from mmengine.config import Config

from mmvis.errors import InputError, InputMissingError
from mmvis.shipped import SHIPPED, shipped_folders

from .config_options import apply_options
from .own_modules import import_own_modules

#: The configs of the project; those of the present folder go before them.
CONFIG_DIR = SHIPPED / 'configs'


def _remembered(format_code: Callable) -> Callable:
    """yapf's FormatCode, which keeps its last answers.

    mmengine formats the text of a config anew whenever it logs it, writes it to a file or puts it into a checkpoint:
    five times at the start of a run and once a checkpoint, which takes longer than many a short test.
    """
    @functools.lru_cache(maxsize=8)
    def remembered(text: str, style: tuple) -> tuple:
        return format_code(text, style_config=dict(style))

    return lambda text, style_config, **options: remembered(text, tuple(style_config.items()))


mmengine_config.FormatCode = _remembered(mmengine_config.FormatCode)


def load_config(path: str, cfg_options: Optional[Dict[str, Any]] = None) -> Config:
    """Read a config file and change the keys of ``cfg_options``.

    A path that does not exist is looked up by its file name under ``configs/``, so that a published command names a
    config of ours by the path that it has in the published repository.

    An option either changes a key that something is built from (``optim_wrapper.optimizer.lr``), or a variable of the
    file (``lr``, ``test_pipeline.0.scale``): then all that the file computes from the variable follows.

    What ``custom_imports`` names is looked for beside the config and its bases first.

    Args:
        path: a file, or the name of one under ``configs/``.
        cfg_options: dotted key -> value; texts of ``CfgOptions`` are read by the type that the key has.

    Raises:
        InputMissingError: no such file, or its name stands for none or several under ``configs/``.
        InputError: the file cannot be read as a config, or an option does not fit it.
    """
    file = find_config(path)
    try:
        cfg = Config.fromfile(file, import_custom_modules=False)
    except Exception as error:  # a config is code: anything can go wrong in it
        raise InputError(_sentence(file, error)) from error
    folders = [config.parent for _, config in _chain(file)]
    import_own_modules(cfg, file, folders)  # first: an option is held against the classes
    cfg = apply_options(cfg, file, cfg_options or {})
    if any(key.startswith('custom_imports') for key in cfg_options or {}):
        import_own_modules(cfg, file, folders)
    return cfg


def _sentence(file: Path, error: Exception) -> str:
    """What went wrong while a config was read, with the file of the chain and the line."""
    start, reason = f'{file} cannot be read as a config:', ' '.join(str(error).split())
    files: Dict[str, Path] = {}
    for child, base in _chain(file):
        if not base.is_file():
            return f'{start} {child} names the base {base}, which is not there.'
        files[os.path.realpath(base)] = base
        if isinstance(error, SyntaxError):
            try:
                ast.parse(base.read_text(encoding='utf-8'))
            except SyntaxError as mistake:
                return f'{start} {_place(file, base, mistake.lineno)}{mistake.msg}.'
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if os.path.realpath(frame.filename) in files:
            base = files[os.path.realpath(frame.filename)]
            return f'{start} {_place(file, base, frame.lineno)}{type(error).__name__}: {reason}'
    return f'{start} {type(error).__name__}: {reason}'


def _place(file: Path, base: Path, line: Optional[int]) -> str:
    return f'line {line}: ' if base == file else f'{base}, line {line}: '


def _chain(file: Path, child: Optional[Path] = None) -> Iterator[tuple]:
    """A config and all its bases that are files, each as (the file that names it, the file)."""
    yield child, file
    try:
        bases = mmengine_config.Config._get_base_files(str(file))
    except Exception:  # told for the file itself
        return
    for base in bases:
        if isinstance(base, str) and '::' not in base:
            yield from _chain(Path(os.path.normpath(file.parent / base)), file)


def find_config(path: str) -> Path:
    """File of a config: at the path given, else by its name under ``configs/`` of the present folder, else of mmvis."""
    if os.path.isfile(path):  # of a name that no file can have it says no
        return Path(path)
    for folder in shipped_folders('configs'):
        hits = sorted(file for file in folder.rglob('*') if file.name == Path(path).name)
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise InputMissingError(f'There is no config {path}, and its name stands for several: '
                                    f'{", ".join(map(str, hits))}.')
    names = sorted(file.stem for file in CONFIG_DIR.rglob('*.py') if '_base_' not in file.parts)
    raise InputMissingError(f'There is no config {path}, nor one of this name under {CONFIG_DIR}, which has: '
                            f'{", ".join(names)}.')
