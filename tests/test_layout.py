"""The shape of the project: imports run one way, files and functions stay short, every module imports."""
import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / 'mmvis'
MODULES = sorted(PACKAGE.rglob('*.py'))
SOURCES = MODULES + sorted((ROOT / 'tools').rglob('*.py'))

# A part may import itself and every part of a lower rank; parts of one rank do not know each other, but for the pairs below.
RANK = {'version': 0, 'registry': 0, 'cli': 0, 'structures': 0, 'annotations': 1, 'records': 1, 'ops': 2, 'models': 3,
        'converters': 3, 'formats': 3, 'datasets': 4, 'evaluation': 4, 'engine': 5, 'visualization': 6, 'apis': 6,
        'view': 7}
# What exported models and the readers of files run on.
LIGHT = ('structures', 'annotations', 'records')
HEAVY = {'torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'cv2', 'scipy', 'sklearn', 'matplotlib'}
NEIGHBOURS = {('converters', 'models'), ('apis', 'visualization')}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported_parts(path: Path):
    """Top-level parts of mmvis that a file imports, relative imports resolved."""
    package = module_name(path).split('.') if path.name == '__init__.py' else module_name(path).split('.')[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            stem = '.'.join(base + ([node.module] if node.module else []))
            names = [f'{stem}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split('.')
            if parts[0] == 'mmvis' and len(parts) > 1 and parts[1] in RANK:
                yield parts[1]


@pytest.mark.parametrize('path', [p for p in MODULES if p.parent != PACKAGE], ids=module_name)
def test_imports_run_one_way(path):
    part = path.relative_to(PACKAGE).parts[0]
    assert part in RANK, f'{part} is not part of the layout'
    for other in set(imported_parts(path)) - {part}:
        allowed = RANK[other] < RANK[part] or (part, other) in NEIGHBOURS
        assert allowed, f'mmvis.{part} ({path.name}) must not import mmvis.{other}'


@pytest.mark.parametrize('path', [p for part in LIGHT for p in (PACKAGE / part).rglob('*.py')], ids=module_name)
def test_files_are_read_without_torch(path):
    """Only NumPy, pycocotools, numba where it is there, and the standard library."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding='utf-8'))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    assert not HEAVY & {name.split('.')[0] for name in names}


@pytest.mark.parametrize('name', ['registry.py', 'cli.py'])
def test_registry_and_cli_import_no_part(name):
    assert not set(imported_parts(PACKAGE / name))


@pytest.mark.parametrize('path', SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding='utf-8')
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < 80, f'{path.name}: {node.name} is longer than 80 lines'


def test_every_module_imports():
    for path in MODULES:
        importlib.import_module(module_name(path))
