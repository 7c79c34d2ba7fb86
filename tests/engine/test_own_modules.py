"""Code of the user's own beside a config is found, copied with the config, and its mistakes are told with their place."""
import sys
from types import SimpleNamespace

import pytest

from mmvis.engine import load_config
from mmvis.engine.own_modules import copy_own_modules
from mmvis.errors import InputError
from mmvis.registry import HOOKS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two folders of configs, of which one is a base; what is imported and put on the path is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    for name in ('base', 'mine', 'work'):
        (tmp_path / name).mkdir()
    (tmp_path / 'base/base.py').write_text("custom_imports = dict(imports=['part_of_mine'])\n")
    (tmp_path / 'mine/config.py').write_text("_base_ = '../base/base.py'\n")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_beside_the_config_or_its_base(folder):
    (folder / 'base/part_of_mine.py').write_text('from own_help import NUMBER\n')
    (folder / 'base/own_help.py').write_text('NUMBER = 3\n')
    cfg = load_config(str(folder / 'mine/config.py'))
    assert sys.modules['part_of_mine'].NUMBER == 3
    assert sys.path[0] != str(folder / 'base') and str(folder / 'base') in sys.path  # for processes that are spawned
    copy_own_modules(cfg, str(folder / 'work'))
    assert sorted(path.name for path in (folder / 'work').iterdir()) == ['own_help.py', 'part_of_mine.py']
    (folder / 'work/config.py').write_text("custom_imports = dict(imports=['part_of_mine'])\n")
    load_config(str(folder / 'work/config.py'))  # the same code under the same name
    (folder / 'work/part_of_mine.py').write_text('NUMBER = 4\n')
    with pytest.raises(InputError, match=r'work/part_of_mine.py is meant, but a module part_of_mine is loaded from .*base'):
        load_config(str(folder / 'work/config.py'))


def test_a_package(folder):
    (folder / 'mine/parts').mkdir()
    (folder / 'mine/parts/__init__.py').touch()
    (folder / 'mine/parts/neck.py').write_text('NUMBER = 5\n')
    (folder / 'mine/config.py').write_text("custom_imports = dict(imports=['parts.neck'])\n")
    copy_own_modules(load_config(str(folder / 'mine/config.py')), str(folder / 'work'))
    assert sys.modules['parts.neck'].NUMBER == 5
    assert (folder / 'work/parts/__init__.py').is_file() and (folder / 'work/parts/neck.py').is_file()


@pytest.mark.parametrize('text, sentence', [
    (None, "config.py cannot be read as a config: custom_imports is .*: ModuleNotFoundError: No module named 'part_of_mine'"),
    ('x = 1\ny = = 2\n', r'part_of_mine.py, line 2: invalid syntax\.$'),
    ('import no_such\n', r"part_of_mine.py, line 1: ModuleNotFoundError: No module named 'no_such'\.$"),
    ('\nx = nothing\n', r"part_of_mine.py, line 2: NameError: name 'nothing' is not defined\.$"),
    ('from mmvis.registry import HOOKS\n@HOOKS.register_module()\nclass FiniteLossHook:\n    pass\n',
     r'part_of_mine.py, line 2: KeyError: .FiniteLossHook is already registered')])
def test_a_mistake_is_told_with_its_place(folder, text, sentence):
    if text:
        (folder / 'base/part_of_mine.py').write_text(text)
    with pytest.raises(InputError, match=sentence):
        load_config(str(folder / 'mine/config.py'))
    assert HOOKS.get('FiniteLossHook').__module__ == 'mmvis.engine.hooks'


def test_without_any_nothing_is_copied(folder):
    copy_own_modules(SimpleNamespace(get=lambda name: None), str(folder / 'work'))
    assert not list((folder / 'work').iterdir())
