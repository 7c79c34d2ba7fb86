"""The steps of docs/docker/Dockerfile, run without docker: in a copy of what they need, with a stand-in for pip."""
import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / 'docs' / 'docker' / 'Dockerfile'
STEPS = [line.split(' ', 1) for line in FILE.read_text().splitlines() if line and not line.startswith('#')]
# Answers as a Python that has everything, and writes down what pip is asked for.
PYTHON = '''#!/bin/sh
case "$1 $2" in
"-m pip") echo "$@" >>"{log}" ;;
"-c "*sys.prefix*) echo "{prefix}" ;;
esac
'''


def values(step):
    return [value for name, value in STEPS if name == step]


@pytest.fixture
def image(tmp_path):
    """The folder that the image has, and its Python."""
    root, prefix = tmp_path / 'mmvis', tmp_path / 'local'
    assert values('COPY') == ['. .']
    (prefix / 'bin').mkdir(parents=True)
    (prefix / 'bin/python').write_text(PYTHON.format(log=tmp_path / 'pip.log', prefix=prefix))
    (prefix / 'bin/python').chmod(0o755)
    (prefix / 'bin/mmvis').write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmvis "$@"\n')
    (prefix / 'bin/mmvis').chmod(0o755)
    for name in ('tools/setup_env.sh', 'requirements.txt', 'setup.py', 'pyproject.toml', 'mmvis/version.py'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    return tmp_path


def run(command, image, cwd):
    [folder] = values('WORKDIR')
    environment = dict(value.split('=') for value in values('ENV'))
    environment = {name: value.replace('/usr/local', str(image / 'local')) for name, value in environment.items()}
    return subprocess.run(['sh', '-c', command.replace(folder, str(image / 'mmvis'))], cwd=cwd, capture_output=True, text=True,
                          env=dict(environment, PATH=f'{image / "local/bin"}:/usr/bin:/bin', PYTHONPATH=str(ROOT)))


def test_every_step_runs(image):
    set_up, version = values('RUN')
    done = run(set_up, image, image / 'mmvis')
    assert done.returncode == 0, done.stderr
    assert f'install -e {image / "mmvis"}[tests] --no-build-isolation' in re.sub(
        r' --quiet| --disable-pip-version-check', '', (image / 'pip.log').read_text())
    done = run(version, image, ROOT)
    assert done.returncode == 0 and re.fullmatch(r'\d+\.\d+\.\d+\n', done.stdout), done.stderr
    [program], [arguments] = map(json.loads, values('ENTRYPOINT')), map(json.loads, values('CMD'))
    done = run(' '.join([*program, *arguments]), image, ROOT)
    assert done.returncode == 0 and done.stdout.startswith('usage: mmvis ')


def test_its_python_is_supported_and_what_it_copies_is_small():
    [image] = values('FROM')
    assert 10 <= int(re.fullmatch(r'python:3\.(\d+)-slim', image)[1]) <= 13
    assert 'docs/docker/Dockerfile' in FILE.read_text()
    ignored = (FILE.parent / 'Dockerfile.dockerignore').read_text().splitlines()[1:]
    for name in ('.venv', '.git', 'data/ytvis2019', 'work_dirs'):
        assert any(fnmatch.fnmatch(name, pattern) for pattern in ignored), name
