"""A wheel works without a checkout, and asks for the mmcv that fits."""
import functools
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import setuptools.command.build_py  # noqa: F401  (before the test takes the path of packages away)

from mmvis.visualization import write_image

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = set((ROOT / 'models').glob('*_sample.pth'))
#: One process: importing PyTorch takes longer than all the rest.
SCRIPT = """
import pathlib, runpy, sys
target = pathlib.Path(sys.argv[1])
sys.argv = ['mmvis', 'demo', 'frames', '--max-frames', '2']
try:
    runpy.run_path(str(target / 'bin' / 'mmvis'), run_name='__main__')
except SystemExit as end:
    assert not end.code, end.code
import mmvis, numpy
from mmvis.apis import VISPredictor
from mmvis.shipped import SHIPPED, models_folder
assert target in pathlib.Path(mmvis.__file__).parents and target in SHIPPED.parents, mmvis.__file__
assert models_folder() == pathlib.Path.cwd() / 'models'
predictor = VISPredictor.from_name('masktrack_rcnn_sample', device='cpu')
predictor.step(numpy.zeros((48, 64, 3), numpy.uint8))
print('shipped to', predictor.classes)
"""


def test_a_wheel_runs_from_an_empty_folder(tmp_path):
    copy, target, folder = tmp_path / 'copy', tmp_path / 'target', tmp_path / 'here'
    (copy / 'models').mkdir(parents=True)
    for name in ('mmvis', 'configs', 'tools'):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns('__pycache__'))
    for file in (*(ROOT / name for name in ('setup.py', 'pyproject.toml', 'requirements.txt', 'README.md')),
                 *sorted(SAMPLES), ROOT / 'models' / 'checkpoints.json', ROOT / 'models' / 'README.md'):
        shutil.copy(file, copy / file.relative_to(ROOT))
    (copy / 'models' / 'private.pth').write_bytes(b'of the one who builds')
    run = functools.partial(subprocess.run, check=True, env=dict(os.environ, OMP_NUM_THREADS='1'), capture_output=True)
    run([sys.executable, '-c', 'from setuptools import build_meta; build_meta.build_wheel("..")'], cwd=copy)
    wheel, = tmp_path.glob('*.whl')
    run([sys.executable, '-m', 'pip', 'install', '-q', '--no-index', '--no-deps', '--disable-pip-version-check',
         '--no-compile', '--target', str(target), str(wheel)])
    shutil.rmtree(copy)
    shipped = target / 'mmvis' / '_shipped'
    assert sorted(path.name for path in shipped.iterdir()) == ['configs', 'models', 'tools']
    assert not (shipped / 'models' / 'private.pth').exists() and (target / 'mmvis' / 'py.typed').is_file()
    page = ROOT / 'mmvis' / 'view' / 'static'
    assert {path.name for path in page.iterdir()} == {path.name for path in (target / page.relative_to(ROOT)).iterdir()}
    assert SAMPLES <= {ROOT / path.relative_to(shipped) for path in (shipped / 'models').iterdir()}
    for kind in ('configs', 'tools'):
        files = {path.relative_to(ROOT) for path in (ROOT / kind).rglob('*.py')}
        assert files == {path.relative_to(shipped) for path in (shipped / kind).rglob('*.py')}
    (folder / 'frames').mkdir(parents=True)
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        write_image(folder / 'frames' / f'{number}.png', picture)
    done = subprocess.run([sys.executable, '-c', SCRIPT, target], cwd=folder, capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(target), OMP_NUM_THREADS='1'))
    assert done.returncode == 0, done.stdout + done.stderr
    assert '2 frames, ' in done.stdout and "shipped to ('disc'" in done.stdout
    assert (folder / 'output/demo/results.json').is_file() and (folder / 'output/demo/overlay.mp4').is_file()


@pytest.mark.parametrize('installed, wanted', [(None, True), ('mmcv', False), ('mmcv_lite', True)])
def test_only_one_mmcv_is_asked_for(installed, wanted, tmp_path, monkeypatch):
    """Built in isolation there is no mmcv; without isolation what is installed counts (a stand-in distribution)."""
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *(path for path in sys.path if 'packages' not in path)])
    if installed:
        info = tmp_path / f'{installed}-2.1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {installed.replace("_", "-")}\nVersion: 2.1.0\n')
    given = {}
    monkeypatch.setattr(setuptools, 'setup', given.update)
    runpy.run_path(str(ROOT / 'setup.py'))
    assert [line for line in given['install_requires'] if line.startswith('mmcv')] == ['mmcv-lite==2.1.0'] * wanted
    assert given['extras_require']['full'] == ['mmcv>=2.0.0,<2.2.0']
