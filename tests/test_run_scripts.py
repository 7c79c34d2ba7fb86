"""The shell scripts: their syntax, and what run_r50.sh and run_r101.sh start in which case. Nothing is set up here."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(path for pattern in ('*.sh', 'tools/*.sh', 'tests/**/*.sh', '.ci/run') for path in ROOT.glob(pattern))
SHELLS = [shell for shell in ('sh', 'dash', 'bash') if shutil.which(shell)]
# In the place of the Python of the environment: it says what it is asked to run.
PYTHON = """#!/bin/sh
case "$1" in
-c) echo 3 ;;
*) printf '%s|' "$@" >>"{log}"; echo >>"{log}"
   case "$1" in *"$BROKEN_TOOL"*) [ -z "$BROKEN_TOOL" ] || exit 1 ;; esac ;;
esac
"""


@pytest.mark.parametrize('shell', SHELLS)
@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_syntax(shell, script):
    done = subprocess.run([shell, '-n', script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def project(tmp_path):
    """The scripts in a folder of their own, with spaces in its name, and a stand-in for the environment."""
    root = tmp_path / 'my project'
    for name in ('run_r50.sh', 'run_r101.sh', 'tools/run_iai.sh', 'tools/find_data.py', 'mmvis/datasets/trees.py',
                 'mmvis/errors.py'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    python = root / 'python'
    python.write_text(PYTHON.format(log=tmp_path / 'log'))
    python.chmod(0o755)
    (root / 'tools/setup_env.sh').write_text('echo setting up\nPYTHON=$ROOT/python\n')
    return root


def put_data(root, folder='data/ytvis_2019'):
    frame = root / folder / 'valid/JPEGImages/v/00000.jpg'
    frame.parent.mkdir(parents=True)
    frame.touch()
    (root / folder / 'valid.json').write_text(json.dumps({'videos': [{'file_names': ['v/00000.jpg']}]}))


def put_weights(root, name='iai_condinst_r50'):
    (root / 'models').mkdir()
    (root / f'models/{name}.pth').touch()


def run(root, script='run_r50.sh', shell='sh', **variables):
    """What the script prints, line by line, and the commands that it starts; it is started from another folder."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    env = {key: value for key, value in os.environ.items() if key != 'GPUS'}
    done = subprocess.run([shell, root / script], cwd='/', env={**env, 'PATH': path, 'BROKEN_TOOL': '', **variables},
                          capture_output=True, text=True, timeout=60)
    log = root.parent / 'log'
    commands = [line.rstrip('|').split('|') for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return done.returncode, done.stdout.splitlines(), commands


@pytest.mark.parametrize('shell', SHELLS)
@pytest.mark.parametrize('script, weights', [('run_r50.sh', 'iai_condinst_r50'), ('run_r101.sh', 'iai_condinst_r101')])
def test_official_run(project, shell, script, weights):
    put_data(project)
    put_weights(project, weights)
    code, lines, commands = run(project, script, shell)
    assert code == 0 and [line for line in lines if line.startswith('mmvis: ')] == [lines[0], *lines[-2:]]
    job = f'official run: models/{weights}.pth on YouTube-VIS 2019 valid (data/ytvis_2019/valid.json)'
    assert lines[0] == f'mmvis: {job}.'
    assert lines[-1] == f'mmvis: done, {job}: output/results.json, output/results.zip.'
    assert lines[-2] == ('mmvis: python tools/view.py output/results.json data/ytvis_2019/valid.json '
                         'data/ytvis_2019/valid/JPEGImages shows the results in a browser.')
    config = f'configs/condinst_iai/ytvis2019_{weights}.py'
    assert commands == [
        ['tools/test_video.py', config, f'models/{weights}.pth', '--out', 'output/results.json', '--eval', 'segm', '--gpus',
         '3'],
        ['tools/make_submission.py', 'output/results.json', 'data/ytvis_2019/valid.json', '--benchmark', 'ytvis2019',
         '--out', 'output/results.zip']]


@pytest.mark.parametrize('shell', SHELLS)
def test_sample_run_says_what_is_missing(project, shell):
    code, lines, commands = run(project, shell=shell)
    assert code == 0
    assert lines[0] == ('mmvis: sample run: a small CondInst+IAI on the sample set, not the official model; missing: '
                        'models/iai_condinst_r50.pth; missing: YouTube-VIS 2019 valid in data/.')
    assert lines[-2] == ('mmvis: python tools/view.py output/results.json data/sample/valid.json data/sample/valid shows '
                         'the results in a browser.')
    assert lines[-1].startswith('mmvis: done, sample run: a small CondInst+IAI on the sample set, not the official model')
    assert any('tools/download_checkpoint.py iai_condinst_r50' in line for line in lines)
    assert any('data/README.md' in line for line in lines)
    assert commands == [
        ['tools/make_sample.py'],
        ['tools/test_video.py', 'configs/condinst_iai/condinst_iai_r18_sample.py', 'models/condinst_iai_sample.pth',
         '--out', 'output/results.json', '--eval', 'segm', '--gpus', '3'],
        ['tools/make_submission.py', 'output/results.json', 'data/sample/valid.json', '--out', 'output/results.zip'],
        ['tools/visualize_results.py', 'output/results.json', 'data/sample/valid.json', 'data/sample/valid', '--out',
         'output/overlays']]


def test_one_of_the_two_is_not_enough(project):
    put_weights(project)
    _, lines, commands = run(project)
    assert lines[0].endswith('; missing: YouTube-VIS 2019 valid in data/.') and 'models/' not in lines[0]
    assert not any('download_checkpoint' in line for line in lines) and commands[0] == ['tools/make_sample.py']
    put_data(project, 'data')  # as IAI's own README has it, annotation file apart
    _, lines, _ = run(project)
    assert lines[0].startswith('mmvis: official run: ') and '(data/valid.json)' in lines[0]
    _, lines, commands = run(project, 'run_r101.sh')
    assert lines[0].endswith('; missing: models/iai_condinst_r101.pth.') and commands[0] == ['tools/make_sample.py']
    assert any('download_checkpoint.py iai_condinst_r101' in line for line in lines)


def test_annotations_without_their_frames_are_no_data(project):
    put_weights(project)
    put_data(project)
    shutil.rmtree(project / 'data/ytvis_2019/valid')
    assert run(project)[1][0].startswith('mmvis: sample run: ')


def test_number_of_processes_and_a_tool_that_fails(project):
    _, _, commands = run(project, GPUS='7')
    assert commands[1][-2:] == ['--gpus', '7']
    code, lines, commands = run(project, BROKEN_TOOL='test_video')
    assert code == 1 and 'done' not in lines[-1] and commands[-1][0] == 'tools/test_video.py'


def test_find_data_needs_no_environment(project):
    put_data(project)
    command = [sys.executable, '-S', '-E', project / 'tools/find_data.py', 'ytvis2019']
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.stdout.split() == ['data/ytvis_2019/valid.json', 'data/ytvis_2019/valid/JPEGImages']
    done = subprocess.run([*command, 'train'], cwd=project, capture_output=True, text=True)
    assert done.returncode == 1 and 'ytvis2019 train is not there' in done.stderr


# In the place of the Python of an active environment, for tools/setup_env.sh.
ENVIRONMENT = """#!/bin/sh
echo "$@" >>"$LOG"
case "$*" in
*version_info*) exit "${OLD:-0}" ;;
*sys.prefix*) echo "$PREFIX" ;;
*headless*) touch "$PREFIX/headless" ;;
*"import cv2"*) [ -z "${NO_DESKTOP:-}" ] || [ -e "$PREFIX/headless" ] ;;
*'version("opencv-python")'*) echo 5.0 ;;
*"pip install"*) exit "${REFUSED:-0}" ;;
--version) echo Python 3.8 ;;
esac
"""


@pytest.fixture
def set_up(tmp_path):
    """Sources tools/setup_env.sh in an environment that is active: set_up(OLD=1) -> (exit code, output, commands)."""
    python = tmp_path / 'env/bin/python'
    python.parent.mkdir(parents=True)
    python.write_text(ENVIRONMENT)
    python.chmod(0o755)
    log = tmp_path / 'log'

    def source(**variables):
        log.unlink(missing_ok=True)
        env = dict(os.environ, VIRTUAL_ENV=str(tmp_path / 'env'), PREFIX=str(tmp_path / 'env'), LOG=str(log),
                   ROOT=str(ROOT), **variables)
        done = subprocess.run(['sh', '-euc', '. "$ROOT/tools/setup_env.sh"; echo "$PYTHON"'], env=env,
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr, log.read_text().splitlines()
    return source


@pytest.mark.parametrize('active, expected', [
    (dict(PYTHON='mine'), 'mine'), (dict(VIRTUAL_ENV='venv'), 'venv/bin/python'),
    (dict(CONDA_PREFIX='conda', CONDA_DEFAULT_ENV='vis'), 'conda/bin/python'),
    (dict(CONDA_PREFIX='conda', CONDA_DEFAULT_ENV='base'), 'project/tools/../.venv/bin/python'),
    ({}, 'project/tools/../.venv/bin/python')])
def test_launchers_take_the_environment_that_set_up_takes(tmp_path, active, expected):
    for folder in ('venv', 'conda', 'project/.venv'):
        python = tmp_path / folder / 'bin/python'
        python.parent.mkdir(parents=True)
        python.write_text('')
        python.chmod(0o755)
    tools = tmp_path / 'project' / 'tools'
    tools.mkdir()
    (tools / 'find_python.sh').symlink_to(ROOT / 'tools' / 'find_python.sh')
    env = {key: value for key, value in os.environ.items() if key not in ('PYTHON', 'VIRTUAL_ENV', 'CONDA_PREFIX')}
    done = subprocess.run(['sh', '-euc', 'TOOLS=project/tools; . "$TOOLS/find_python.sh"; echo "$PYTHON"'], cwd=tmp_path,
                          env={**env, **active}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_set_up_installs_once(set_up, tmp_path):
    code, out, commands = set_up()
    assert code == 0 and out.splitlines()[-1] == str(tmp_path / 'env/bin/python')
    assert any('pip install' in command and '[tests]' in command for command in commands)
    code, out, commands = set_up()
    assert code == 0 and not any('pip install' in command for command in commands)


def test_set_up_without_a_network_says_what_to_do(set_up):
    code, out, _ = set_up(REFUSED='1')
    assert code == 1 and 'PIP_INDEX_URL' in out.splitlines()[-1] and 'PIP_FIND_LINKS' in out.splitlines()[-1]
    code, _, commands = set_up()  # nothing is taken for installed
    assert code == 0 and any('pip install' in command for command in commands)


def test_set_up_on_a_machine_without_a_desktop(set_up):
    code, out, commands = set_up(NO_DESKTOP='1')
    assert code == 0 and 'opencv-python-headless 5.0' in out
    assert any('opencv-python-headless==5.0 --no-deps' in command for command in commands)


def test_set_up_refuses_an_old_python(set_up):
    code, out, _ = set_up(OLD='1')
    assert code == 1 and out.endswith('Python 3.8; mmvis needs Python 3.10 to 3.13.\n')
