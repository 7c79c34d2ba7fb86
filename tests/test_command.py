"""The command mmvis: its subcommands, and where configs and checkpoints are looked up by name."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmvis import __main__ as command
from mmvis import __version__, shipped
from mmvis.engine import find_config
from mmvis.errors import InputMissingError

ROOT = Path(__file__).resolve().parent.parent


def mmvis(*arguments, cwd):
    """Exit code, standard output and standard error of ``python -m mmvis``."""
    done = subprocess.run([sys.executable, '-m', 'mmvis', *arguments], cwd=cwd, capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(ROOT)))
    return done.returncode, done.stdout, done.stderr


def test_help_lists_every_command(tmp_path):
    code, printed, _ = mmvis('--help', cwd=tmp_path)
    assert code == 0
    for name, file in command.COMMANDS.items():
        assert (ROOT / 'tools' / file).is_file()
        line = next(line for line in printed.splitlines() if line.split()[:1] == [name])
        assert line.endswith(('.', ')')), f'{file}: the first line of its docstring is its summary'
    assert mmvis('--version', cwd=tmp_path)[1] == f'{__version__}\n'


@pytest.mark.parametrize('word, hint', [('evil', 'did you mean eval?'), ('xyzzy', 'mmvis --help lists them.')])
def test_an_unknown_command_is_one_sentence(word, hint, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['mmvis', word])
    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)
    with pytest.raises(SystemExit, match=f"^mmvis: error: There is no command '{word}'; {hint}"):
        command.main()


def test_a_config_is_looked_up_here_first(tmp_path, monkeypatch):
    name = 'masktrack_rcnn_r18_fpn_sample.py'
    monkeypatch.chdir(tmp_path)
    assert find_config(f'configs/masktrack_rcnn/{name}') == ROOT / 'configs' / 'masktrack_rcnn' / name
    (tmp_path / 'configs' / 'own').mkdir(parents=True)
    mine = tmp_path / 'configs' / 'own' / name
    mine.write_text('')
    assert find_config(f'elsewhere/{name}') == mine
    shutil.copy(mine, tmp_path / 'configs')
    with pytest.raises(InputMissingError, match='its name stands for several: .*own'):
        find_config(name)
    shutil.copy(mine, tmp_path)
    assert find_config(name) == Path(name)


def test_a_checkpoint_is_looked_up_here_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = 'condinst_iai_sample.pth'
    assert shipped.find_checkpoint(name) == str(ROOT / 'models' / name)
    (tmp_path / 'models').mkdir()
    (tmp_path / 'models' / name).touch()
    assert shipped.find_checkpoint(f'models/{name}') == f'models/{name}'
    assert shipped.find_checkpoint(name) == str(tmp_path / 'models' / name)
    assert shipped.find_checkpoint('no_such.pth') == 'no_such.pth' and shipped.find_checkpoint('') == ''


def test_a_command_is_named_in_its_help(tmp_path):
    status, printed, failed = mmvis('eval', '--help', cwd=tmp_path)
    assert status == 0 and not failed and printed.startswith('usage: mmvis eval ')
