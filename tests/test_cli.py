"""What the tools share, and that the light ones stay light."""
import argparse
import errno
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmvis.cli import ToolParser, keep_failures_in, number_in, run_tool, seed_number
from mmvis.errors import InputError, InputMissingError

ROOT = Path(__file__).resolve().parents[1]
#: Commands that import the models with their tools.
HEAVY = {'add-dinov3', 'test', 'to-transformers', 'flops'}


def raising(error):
    def main():
        raise error
    return main


def in_registry(name):
    return KeyError(f'{name} is not in the mmvis::model registry. Please check whether')


@pytest.mark.parametrize('error, said', [
    (InputError('a.json: no\n such thing.'), 'error: a.json: no such thing.\n'),
    (InputMissingError('there is no a.json.'), 'error: there is no a.json.\n'),
    (OSError(errno.ENOSPC, 'No space left on device', 'out.json'),
     'error: out.json cannot be written: No space left on device.\n'),
    (in_registry('X'), 'error: X is not in the mmvis::model registry.\n'),
    (InputError('Caught in worker 0.\nOriginal Traceback (most recent call last):\n  x\n'
                'mmvis.errors.InputError: b.jpg is damaged.'), 'error: b.jpg is damaged.\n'),
    (InputError('video \x1b[31mred\x9b0m'), 'error: video \\x1b[31mred\\x9b0m\n')])
def test_a_mistake_is_one_sentence(error, said, capsys):
    with pytest.raises(SystemExit) as exit:
        run_tool(raising(error))
    assert exit.value.code == 1 and capsys.readouterr().err == said


@pytest.mark.parametrize('error', [KeyError('x'), TypeError('x'), RuntimeError('x'), ValueError('x'), OSError('x'),
                                   FileNotFoundError(errno.ENOENT, 'No such file', 'x')])
def test_a_bug_keeps_its_traceback(error, capsys):
    with pytest.raises(SystemExit) as exit:
        run_tool(raising(error))
    lines = capsys.readouterr().err.splitlines()
    assert exit.value.code == 1 and lines[0] == 'Traceback (most recent call last):'
    assert lines[-1].startswith(type(error).__name__) and any('in main' in line for line in lines)


def test_a_failure_stands_in_the_log_file_with_its_rank(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('RANK', '3')
    log = tmp_path / 'run.log'
    log.write_text('before\n')
    keep_failures_in(log)
    try:
        for error in (InputError('a.json: wrong.'), KeyError('a bug')):
            with pytest.raises(SystemExit):
                run_tool(raising(error))
    finally:
        keep_failures_in(None)
    lines = log.read_text().splitlines()
    assert lines[0] == 'before' and lines[1].endswith('ERROR - rank 3: error: a.json: wrong.')
    assert lines[2].endswith('ERROR - rank 3: Traceback (most recent call last):') and lines[-1] == "KeyError: 'a bug'"
    assert 'rank 3: Traceback' in capsys.readouterr().err


def test_a_signal_just_before_a_failure_is_told_ends_the_tool_all_the_same(monkeypatch, capsys):
    def fails():
        raise RuntimeError('x')

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmvis.cli.describe', interrupted)
    with pytest.raises(SystemExit) as caught:
        run_tool(fails)
    assert caught.value.code == 130 and capsys.readouterr().err == ''


def test_the_traceback_behind_a_sentence_can_be_had(monkeypatch, capsys):
    monkeypatch.setenv('MMVIS_TRACEBACK', '1')
    with pytest.raises(SystemExit):
        run_tool(raising(InputError('x')))
    assert capsys.readouterr().err.startswith('Traceback')


def run_code(code, **variables):
    """Run Python code in a process whose streams are not pytest's."""
    return subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, env=dict(os.environ, **variables))


WRITE_AND_PRINT = """
from pathlib import Path
from mmvis.cli import run_tool
def main():
    print('Zeichen \u732b \x1b[2J')
    for line in range(LINES):
        print('x' * 200)
    Path('TARGET').write_text('done')
run_tool(main)
"""


@pytest.mark.parametrize('encoding, printed', [
    ('utf-8', 'Zeichen \u732b \\x1b[2J'), ('cp1252', 'Zeichen \\u732b \\x1b[2J'), ('ascii', 'Zeichen \\u732b \\x1b[2J')])
def test_a_terminal_that_lacks_a_character_loses_nothing(encoding, printed, tmp_path):
    code = WRITE_AND_PRINT.replace('LINES', '0').replace('TARGET', str(tmp_path / 'file'))
    done = run_code(code, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout.decode(encoding).splitlines(), done.stderr) == (0, [printed], b'')
    assert (tmp_path / 'file').read_text() == 'done'


def test_a_closed_pipe_ends_quietly_with_the_files_written(tmp_path):
    (tmp_path / 'code.py').write_text(WRITE_AND_PRINT.replace('LINES', '5000').replace('TARGET', str(tmp_path / 'file')))
    done = subprocess.run(f'{{ {sys.executable} {tmp_path}/code.py; echo $? >{tmp_path}/code; }} | head -n 1',
                          shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (tmp_path / 'code').read_text() == '141\n' and done.stderr == ''
    assert (tmp_path / 'file').read_text() == 'done'


def test_output_to_a_full_disk_is_told(tmp_path):
    if not os.path.exists('/dev/full'):
        pytest.skip('no /dev/full')
    (tmp_path / 'code.py').write_text(WRITE_AND_PRINT.replace('LINES', '1').replace('TARGET', str(tmp_path / 'file')))
    with open('/dev/full', 'w') as full:
        done = subprocess.run([sys.executable, tmp_path / 'code.py'], cwd=ROOT, stdout=full, stderr=subprocess.PIPE,
                              text=True)
    assert done.returncode == 1 and (tmp_path / 'file').read_text() == 'done'
    assert done.stderr == 'error: What was printed could not be written: No space left on device.\n'


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM', 'SIGUSR1'])
def test_a_signal_ends_a_tool_in_an_orderly_way(name, tmp_path):
    number = getattr(signal, name)
    done = run_code(f"""
import os, time
from mmvis.cli import run_tool
def main():
    try:
        os.kill(os.getpid(), {number:d})
        time.sleep(60)
    finally:
        os.kill(os.getpid(), {signal.SIGTERM:d})  # a second one does not break the tidying up
        print('tidied')
run_tool(main)
""")
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, b'tidied\n', b'')


def test_a_failure_is_told_to_its_end_whatever_signals_come():
    told = []

    def tell(failure):
        os.kill(os.getpid(), signal.SIGTERM)  # as the launcher of a job does when another process fails, too
        told.append(failure.text)

    def main():
        raise InputError('what happened')

    with pytest.raises(SystemExit) as stop:
        run_tool(main, tell)
    assert stop.value.code == 1 and told == ['error: what happened']


def test_ctrl_c_during_the_imports_of_a_tool_is_one_line():
    tool = subprocess.Popen([sys.executable, '-X', 'importtime', ROOT / 'tools/check_results.py', '--help'],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = []
    for line in tool.stderr:
        said.append(line)
        if line.split()[-1] == 'numpy':  # torch comes later
            tool.send_signal(signal.SIGINT)
    assert tool.wait() == 130
    assert [line for line in said if not line.startswith('import time:')] == ['Interrupted.\n']


def test_numbers_of_the_command_line():
    read, finite = number_in(1, 8), number_in(-math.inf, kind=float)
    assert (read('1'), read('8'), finite('-1e9'), finite('3')) == (1, 8, -1e9, 3.)
    assert isinstance(read('1'), int) and seed_number(str(2 ** 32 - 1)) == 2 ** 32 - 1
    for text in ('0', '9', '-1', '1.5', 'nan', 'inf', '1e2', '', 'x'):
        with pytest.raises(argparse.ArgumentTypeError, match='is not a whole number of at least 1 and at most 8'):
            read(text)
    for text in ('nan', 'inf', '-inf', 'x'):
        with pytest.raises(argparse.ArgumentTypeError, match='is not a finite number$'):
            finite(text)


def test_arguments_that_do_not_fit_are_one_line(capsys):
    with pytest.raises(SystemExit) as exit:
        ToolParser(prog='x.py').parse_args(['--nonsense'])
    assert exit.value.code == 1 and capsys.readouterr().err.count('\n') == 1


def test_commands_start_without_torch():
    code = f'''
import contextlib, io, sys
from mmvis.__main__ import COMMANDS, main
for name in sorted(set(COMMANDS) - {HEAVY!r}):
    sys.argv = ['mmvis', name, '--help']
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as printed:
        main()
    assert printed.getvalue().startswith(f'usage: mmvis {{name}} '), name
    heavy = [module for module in ('torch', 'mmengine', 'mmdet', 'mmcv', 'matplotlib') if module in sys.modules]
    assert not heavy, (name, heavy)
'''
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
