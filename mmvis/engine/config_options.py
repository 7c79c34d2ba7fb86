"""Putting options of the command line into a config.

An option names a key that something is built from, or a variable of the config file. The latter is put behind the
assignments of the variable while the file is read again, so that what the file computes from it follows; mmengine alone
would change the variable after everything has been computed.
"""
import ast
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import mmengine.config.config as mmengine_config
from mmengine.config import Config

from mmvis.errors import InputError

from .config_keys import TOP_LEVEL_KEYS, check_option, check_place, value_kind
from .config_values import OptionText, read_value


def apply_options(cfg: Config, file: Path, options: Dict[str, Any]) -> Config:
    """The config of ``file`` with the options in it; see ``load_config``.

    Raises:
        InputError: a key that nothing reads, or a value that does not fit; the message names key, value and file.
    """
    variables, keys = {}, {}
    for key, value in options.items():
        name = key.split('.')[0]
        is_variable = name in cfg and name not in TOP_LEVEL_KEYS
        (variables if is_variable else keys)[key] = value
    if variables:
        settings = {key: _value(cfg, file, key, value) for key, value in variables.items()}
        for key, value in settings.items():
            check_place(cfg, key, f'--cfg-options {key}={value}', file)
            _check_effect(cfg, file, key, value)
        cfg = _read_with(file, settings)
    # a new type decides which of the other keys there are
    for key in sorted(keys, key=lambda key: not key.endswith('.type')):
        check_option(cfg, key, keys[key], file)
        value = _value(cfg, file, key, keys[key])
        try:
            cfg.merge_from_dict({key: value})
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise InputError(f'--cfg-options {key}={value} does not fit {file}: {error}') from None
    return cfg


def _value(cfg: Config, file: Path, key: str, value: Any) -> Any:
    """The value of an option, read by the type of its key."""
    before = look_up(cfg._cfg_dict, key)
    if isinstance(value, OptionText):
        try:
            value = read_value(value, before, value_kind(cfg, key, before))
        except ValueError as error:
            raise InputError(f'--cfg-options {key}={value} does not fit {file}: {error}.') from None
    if _has_dicts(before) and value not in (None, [], ()) and not _has_dicts(value):
        kind = 'dict' if isinstance(before, dict) else 'list of dicts'
        raise InputError(f'--cfg-options {key}={value} does not fit {file}: {key} is a {kind} there; change one of '
                         f'its keys, such as {key}.{_first_key(before)}=VALUE.')
    return value


def look_up(cfg: Any, key: str) -> Any:
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


def _check_effect(cfg: Config, file: Path, key: str, value: Any) -> None:
    """Refuse a variable from which nothing is computed that anything is built from."""
    if look_up(cfg._cfg_dict, key) == value:
        return
    other = _read_with(file, {key: value})
    if all(cfg.get(name) == other.get(name) for name in TOP_LEVEL_KEYS):
        raise InputError(f'--cfg-options {key}={value} would change nothing: {file} has {key.split(".")[0]}, but builds '
                         'nothing from it. tools/print_config.py shows the keys that things are built from.')


class _WithVariables(mmengine_config.RemoveAssignFromAST):
    """What mmengine does to the code of a config (it takes ``_base_`` out), and options behind the assignments of the
    variables they name."""
    options: List[Tuple[str, Any]] = []

    def visit_Module(self, module: ast.Module) -> ast.Module:
        statements = []
        for statement in module.body:
            statement = self.visit(statement)
            if statement is None:
                continue
            statements.append(statement)
            for target in getattr(statement, 'targets', [getattr(statement, 'target', None)]):
                if isinstance(target, ast.Name):
                    statements += [_assignment(key, value) for key, value in self.options
                                   if key.split('.')[0] == target.id]
        module.body = statements
        return ast.fix_missing_locations(module)


def _assignment(key: str, value: Any) -> ast.stmt:
    """``name = value``, or ``name['key'][0] = value`` where a file has that."""
    name, *path = key.split('.')
    target: ast.expr = ast.Name(name, ast.Store() if not path else ast.Load())
    for depth, part in enumerate(path, 1):
        context = ast.Store() if depth == len(path) else ast.Load()
        target = ast.Subscript(target, ast.Constant(int(part) if part.isdigit() else part), context)
    statement = ast.Assign([target], _literal(value))
    if not path:
        return statement
    errors = ast.Tuple([ast.Name(error, ast.Load()) for error in ('KeyError', 'IndexError', 'TypeError')], ast.Load())
    return ast.Try([statement], [ast.ExceptHandler(errors, None, [ast.Pass()])], [], [])


def _literal(value: Any) -> ast.expr:
    if isinstance(value, dict):
        return ast.Dict([_literal(key) for key in value], [_literal(item) for item in value.values()])
    if isinstance(value, (list, tuple)):
        return (ast.List if isinstance(value, list) else ast.Tuple)([_literal(item) for item in value], ast.Load())
    return ast.Constant(value)


@contextmanager
def _variables(options: Dict[str, Any]) -> Iterator[None]:
    plain = mmengine_config.RemoveAssignFromAST
    _WithVariables.options = list(options.items())
    mmengine_config.RemoveAssignFromAST = _WithVariables
    try:
        yield
    finally:
        mmengine_config.RemoveAssignFromAST = plain


def _read_with(file: Path, options: Dict[str, Any]) -> Config:
    with _variables(options):
        try:
            return Config.fromfile(file)
        except Exception as error:  # the file was read before: what is wrong is the value
            text = ' '.join(f'{key}={value}' for key, value in options.items())
            raise InputError(f'--cfg-options {text} does not fit {file}: {type(error).__name__}: {error}') from None
