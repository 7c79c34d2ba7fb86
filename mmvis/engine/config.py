"""Reading configs."""
import argparse
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config, DictAction

#: The configs of the project; beside them, those of the present directory.
CONFIG_DIR = Path(__file__).resolve().parents[2] / 'configs'


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
        raise ValueError(f'{file} cannot be read as a config: {type(error).__name__}: {error}') from error
    for key, value in (cfg_options or {}).items():
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(f'--cfg-options {key}={value} does not fit {file}: {error}') from None
    return cfg


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
        raise FileNotFoundError(f'There is no config {path}, and its name stands for several: '
                                f'{", ".join(map(str, hits))}.')
    names = sorted(file.stem for file in CONFIG_DIR.rglob('*.py') if '_base_' not in file.parts)
    raise FileNotFoundError(f'There is no config {path}, nor one of this name under {CONFIG_DIR}, which has: '
                            f'{", ".join(names)}.')


class CfgOptions(DictAction):
    """argparse action of ``--cfg-options key=value ...``."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: List[str],
                 option_string: Optional[str] = None) -> None:
        for item in values:
            if '=' not in item:
                parser.error(f'{option_string}: {item!r} is not of the form key=value.')
        super().__call__(parser, namespace, values, option_string)
