"""Names of a package that are imported when they are asked for: most of a package comes with PyTorch, which takes seconds to
load, and a tool that only reads files needs another part of it. Imports the standard library only."""
import importlib
from typing import Any, Dict


def lazy_name(package: str, modules: Dict[str, str], name: str) -> Any:
    """What ``__getattr__`` of a package gives (PEP 562).

    Args:
        package: its ``__name__``.
        modules: module of the package -> the names that it gives, with spaces between.
    """
    for module, names in modules.items():
        if name in names.split():
            return getattr(importlib.import_module(f'.{module}', package), name)
    raise AttributeError(f'module {package!r} has no attribute {name!r}')
