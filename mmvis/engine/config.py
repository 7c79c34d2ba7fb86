"""Reading configs."""
import argparse
import functools
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import mmengine.config.config as mmengine_config
from mmengine.config import Config, DictAction

from mmvis.errors import InputError, InputMissingError

#: The configs of the project; beside them, those of the present directory.
CONFIG_DIR = Path(__file__).resolve().parents[2] / 'configs'


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

    Args:
        path: a file, or the name of one under ``configs/``.
        cfg_options: dotted key -> value, as ``--cfg-options`` gives them.

    Raises:
        FileNotFoundError: no such file, or its name stands for none or several under ``configs/``.
        ValueError: the file cannot be read as a config, or an option does not fit it.
    """
    file = find_config(path)
    try:
        cfg = Config.fromfile(file)
    except Exception as error:  # a config is code: anything can go wrong in it
        raise InputError(f'{file} cannot be read as a config: {type(error).__name__}: {error}') from error
    for key, value in (cfg_options or {}).items():
        before = _look_up(cfg._cfg_dict, key)
        if _has_dicts(before) and value not in (None, [], ()) and not _has_dicts(value):
            kind = 'dict' if isinstance(before, dict) else 'list of dicts'
            raise InputError(f'--cfg-options {key}={value} does not fit {file}: {key} is a {kind} there; change one of '
                             f'its keys, such as {key}.{_first_key(before)}=VALUE.')
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise InputError(f'--cfg-options {key}={value} does not fit {file}: {error}') from None
    return cfg


def _look_up(cfg: Any, key: str) -> Any:
    """What stands under a dotted key; None if there is none."""
    for name in key.split('.'):
        if isinstance(cfg, dict):
            cfg = cfg.get(name)
        elif isinstance(cfg, (list, tuple)):
            cfg = cfg[int(name)] if name.isdigit() and int(name) < len(cfg) else None
        else:
            return None
    return cfg


def _has_dicts(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, (list, tuple)) and any(map(_has_dicts, value)))


def _first_key(value: Any) -> str:
    return next(iter(value), 'KEY') if isinstance(value, dict) else f'0.{_first_key(value[0])}'


def find_config(path: str) -> Path:
    """File of a config, looked up under ``configs/`` when there is none at the path given."""
    if Path(path).is_file():
        return Path(path)
    hits: List[Path] = []
    for folder in {CONFIG_DIR, Path('configs').resolve()}:
        hits += sorted(folder.rglob(Path(path).name))
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise InputMissingError(f'There is no config {path}, and its name stands for several: '
                                f'{", ".join(map(str, hits))}.')
    names = sorted(file.stem for file in CONFIG_DIR.rglob('*.py') if '_base_' not in file.parts)
    raise InputMissingError(f'There is no config {path}, nor one of this name under {CONFIG_DIR}, which has: '
                            f'{", ".join(names)}.')


class CfgOptions(DictAction):
    """argparse action of ``--cfg-options key=value ...``."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: List[str],
                 option_string: Optional[str] = None) -> None:
        for item in values:
            if '=' not in item:
                parser.error(f'{option_string}: {item!r} is not of the form key=value.')
            try:
                super().__call__(parser, namespace, [item], option_string)
            except (AssertionError, RecursionError):  # mmengine's parser on open brackets, and on dict(a=1,b=2)
                parser.error(f'{option_string}: {item!r} cannot be read: a value is a number, a word, or a list of '
                             f'such ([1,2] or (1,2)); the keys of a dict are changed one by one, as in model.depth=50.')
