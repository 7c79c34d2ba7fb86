"""Values of a config against the types that the classes of its parts state."""
import collections.abc
import inspect
import types
import typing
from typing import Any, Iterator, Tuple

from mmengine.config import Config

from mmvis.errors import InputError

from .config_keys import class_of, dicts_of, type_hints

#: Whose annotations hold: our own, and those of the parts that everybody sets.
_MODULES = ('mmvis.', 'torch.optim.', 'mmengine.optim.scheduler.')
_UNIONS = (typing.Union, getattr(types, 'UnionType', typing.Union))
_NAMES = {int: 'a whole number', float: 'a number', str: 'a text', bool: 'True or False', dict: 'a dict',
          type(None): 'None'}


def check_types(cfg: Config) -> None:
    """Refuse values that the class of a part does not take.

    Raises:
        InputError: names the file, the path of the key, the value and what is expected.
    """
    for path, node in dicts_of(cfg._cfg_dict):
        found = class_of(path, node)
        depths = getattr(found, 'arch_settings', None)
        if isinstance(depths, dict) and 'depth' in node and node['depth'] not in depths:
            raise InputError(f'{cfg.filename}: {".".join((*path, "depth"))} is {node["depth"]!r}: {found.__name__} has '
                             f'{", ".join(map(str, depths))}.')
        for name, hint in _hinted(found):
            if name in node and not fits(node[name], hint):
                raise InputError(f'{cfg.filename}: {".".join((*path, name))} is {node[name]!r}: {expected(hint)} is expected.')


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a config may stand for an argument with that annotation; what nobody can say is taken.

    A list stands for a tuple and the other way round, and a dict for any class, which is built from it.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        return any(fits(value, arg) for arg in args)
    if origin is typing.Literal:
        return value in args
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool, type(None)):
        return isinstance(value, hint)
    if origin is tuple and args and args[-1] is not Ellipsis:
        return isinstance(value, (list, tuple)) and len(value) == len(args) and all(map(fits, value, args))
    if origin in (tuple, list, collections.abc.Sequence) or hint in (tuple, list):
        return isinstance(value, (list, tuple)) and all(fits(item, arg) for item in value for arg in args[:1])
    if origin in (dict, collections.abc.Mapping):
        return isinstance(value, dict)
    return True


def expected(hint: Any) -> str:
    """What an annotation asks for, in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        return ' or '.join(dict.fromkeys(map(expected, args)))
    if origin is typing.Literal:
        return 'one of ' + ', '.join(map(repr, args))
    if origin is tuple and args and args[-1] is not Ellipsis:
        return f'a list of {len(args)} ({", ".join(map(expected, args))})'
    if origin in (tuple, list, collections.abc.Sequence) or hint in (tuple, list):
        return 'a list' + ''.join(f' ({expected(arg)} each)' for arg in args[:1])
    return _NAMES.get(origin or hint, getattr(hint, '__name__', str(hint)))


def _hinted(found: Any) -> Iterator[Tuple[str, Any]]:
    """Name and annotation of the arguments of a class that says what it takes; of the first that names an argument."""
    seen = set()
    for klass in inspect.getmro(found) if inspect.isclass(found) else ():
        if '__init__' in vars(klass) and klass.__module__.startswith(_MODULES):
            hints = type_hints(klass)
            for name in inspect.signature(klass.__init__).parameters:
                if name in hints and name not in seen:
                    seen.add(name)
                    yield name, hints[name]
