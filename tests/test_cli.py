"""What the tools share, and that the light ones stay light."""
import subprocess
import sys
from pathlib import Path

import pytest

from mmvis.cli import ToolParser, run_tool

ROOT = Path(__file__).resolve().parents[1]
LIGHT = ('check_results', 'eval_results', 'make_sample', 'make_submission', 'split_dataset', 'upload_results',
         'visualize_results')


def raising(error):
    def main():
        raise error
    return main


@pytest.mark.parametrize('error, said', [
    (ValueError('a.json: no\n such thing.'), 'error: a.json: no such thing.\n'), (OSError('full'), 'error: full\n'),
    (KeyError('X is not in the registry. Please check whether'), 'error: X is not in the registry.\n'),
    (ValueError('Caught in worker 0.\nOriginal Traceback (most recent call last):\n  x\nValueError: b.jpg is damaged.'),
     'error: b.jpg is damaged.\n')])
def test_a_mistake_is_one_sentence(error, said, capsys):
    with pytest.raises(SystemExit) as exit:
        run_tool(raising(error))
    assert exit.value.code == 1 and capsys.readouterr().err == said


@pytest.mark.parametrize('error', [KeyError('x'), TypeError('x'), RuntimeError('x')])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run_tool(raising(error))


def test_the_traceback_behind_a_sentence_can_be_had(monkeypatch):
    monkeypatch.setenv('MMVIS_TRACEBACK', '1')
    with pytest.raises(ValueError):
        run_tool(raising(ValueError('x')))


def test_arguments_that_do_not_fit_are_one_line(capsys):
    with pytest.raises(SystemExit) as exit:
        ToolParser(prog='x.py').parse_args(['--nonsense'])
    assert exit.value.code == 1 and capsys.readouterr().err.count('\n') == 1


def test_tools_that_read_files_start_without_the_models():
    code = f'''
import contextlib, io, runpy, sys
for name in {LIGHT!r}:
    sys.argv = [name, '--help']
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        runpy.run_path({str(ROOT / 'tools')!r} + '/' + name + '.py', run_name='__main__')
heavy = [name for name in ('mmdet', 'mmcv', 'mmvis.engine', 'mmvis.models') if name in sys.modules]
assert not heavy, heavy
'''
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
