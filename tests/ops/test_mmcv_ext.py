"""The stand-in for mmcv._ext: it has every name, is light, is in place in other processes, gives way to a real one."""
import importlib.util
import multiprocessing
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import mmvis
from mmvis.ops import mmcv_ext

ROOT = Path(mmvis.__file__).parents[1]
STAND_IN = str(ROOT / 'mmvis' / 'ops' / 'mmcv_ext.py')
pytestmark = pytest.mark.skipif(importlib.util.find_spec('mmcv._ext').origin != STAND_IN,
                                reason='a compiled mmcv is installed and is used instead')


def names_that_mmcv_asks_for():
    ops = Path(importlib.util.find_spec('mmcv').submodule_search_locations[0]) / 'ops'
    names = set()
    for file in ops.glob('*.py'):
        for call in re.findall(r"load_ext\(\s*'_ext',\s*\[(.*?)\]", file.read_text(), re.S):
            names.update(re.findall(r"'(\w+)'", call))
    return names


def run_python(code, *paths):
    code = f'import sys; sys.path[:0] = {[str(path) for path in (*paths, ROOT)]!r}\n' + textwrap.dedent(code)
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_every_name_that_mmcv_asks_for_is_there():
    import mmcv._ext
    names = names_that_mmcv_asks_for()
    assert len(names) == 112
    assert [name for name in sorted(names) if not callable(getattr(mmcv._ext, name, None))] == []
    assert not hasattr(mmcv._ext, 'no_such_operator')
    assert set(mmcv_ext.SUPPLIED).isdisjoint(mmcv_ext.NOT_SUPPLIED)


def test_has_a_real_spec_and_version_strings():
    from mmcv.ops import get_compiler_version, get_compiling_cuda_version
    from mmcv.utils.ext_loader import check_ops_exist
    assert importlib.util.find_spec('mmcv._ext').loader is not None and check_ops_exist()
    assert isinstance(get_compiler_version(), str) and isinstance(get_compiling_cuda_version(), str)


def test_an_operator_that_is_not_supplied_says_so():
    import torch
    from mmcv.ops import nms_rotated
    with pytest.raises(NotImplementedError, match='mmcv._ext.nms_rotated is not among the operators'):
        nms_rotated(torch.zeros(1, 5), torch.zeros(1), 0.5)


def test_import_is_light():
    assert run_python("""
        import mmvis
        print([name for name in ('torch', 'mmcv', 'mmdet', 'mmengine') if name in sys.modules])
    """) == ['[]']


def _origin_in_this_process(_):
    return importlib.util.find_spec('mmcv._ext').origin


def test_in_place_in_a_spawned_process():
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        # The worker imports this test file, and with it mmvis, to find the function.
        origin, = pool.map(_origin_in_this_process, [0])
    assert origin == STAND_IN


def _fake_mmcv(folder, compiled):
    (folder / 'mmcv').mkdir()
    (folder / 'mmcv' / '__init__.py').write_text('')
    if compiled:
        (folder / 'mmcv' / '_ext.py').write_text('def nms():\n    return "compiled"\n')
    return folder


@pytest.mark.parametrize('order', ['mmvis first', 'mmcv first'])
def test_a_compiled_mmcv_is_left_alone(tmp_path, order):
    imports = ['import mmvis', 'import mmcv._ext']
    code = '\n'.join(imports if order == 'mmvis first' else imports[::-1])
    code += '\nprint(mmcv._ext.nms())'
    assert run_python(code, _fake_mmcv(tmp_path, compiled=True)) == ['compiled']


def test_an_mmcv_without_the_compiled_module_gets_the_stand_in(tmp_path):
    code = 'import mmvis, mmcv._ext\nprint(mmcv._ext.__file__)'
    assert run_python(code, _fake_mmcv(tmp_path, compiled=False)) == [STAND_IN]
