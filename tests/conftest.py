"""Settings that every test shares."""
import os
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Tests start tools in new processes: these find the package of this checkout, installed or not.
os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH', '')]))
for folder in (ROOT, ROOT / 'tests'):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# Only tests/gpu sees GPUs (sh tests/gpu/run.sh, or the folder or the mark as an argument of pytest): the other tests say
# what happens on a CPU. PyTorch asks once, so this stands before anything imports it.
if 'gpu' not in {part for argument in sys.argv[1:] for part in Path(argument.split('::')[0]).parts}:
    os.environ['CUDA_VISIBLE_DEVICES'] = ''

# A shell that starts the tests in the background ignores Ctrl-C for them and for what they start; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
from helpers.warm_python import warm_python  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

import mmvis  # noqa: E402,F401  (supplies mmcv's operators before a test module imports mmdet)
from mmvis.structures.compiled import NUMBA_VARIABLE  # noqa: E402
from mmvis.structures.rle_decode import rle_kernels  # noqa: E402


@pytest.fixture(autouse=True)
def own_scope():
    """A runner leaves its default scope behind; every test starts in ours."""
    with DefaultScope.overwrite_default_scope('mmvis'):
        yield


@pytest.fixture(autouse=True)
def own_environment():
    """What a test leaves in the environment, such as the rank that a launcher set, is taken away."""
    before = dict(os.environ)
    yield
    after = dict(os.environ)
    for name in {*before, *after} - {'PYTEST_CURRENT_TEST'}:
        if name not in before:
            del os.environ[name]
        elif before[name] != after.get(name):
            os.environ[name] = before[name]


@pytest.fixture(scope='session')
def python():
    """Path of a Python that runs the tools without importing the toolbox anew: see helpers/warm_python.py."""
    with warm_python() as path:
        yield path


@pytest.fixture(params=['numba', 'numpy'])
def backend(request, monkeypatch):
    """The test runs with the loops that numba compiles and with those in NumPy."""
    monkeypatch.setenv(NUMBA_VARIABLE, '1' if request.param == 'numba' else '0')
    if request.param == 'numba':
        pytest.importorskip('numba')
        assert rle_kernels().__name__.endswith('numba')
    yield request.param
