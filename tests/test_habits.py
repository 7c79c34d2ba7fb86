"""What a contributor is asked to keep, checked as he would: ruff and mypy, with the settings of pyproject.toml."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command):
    """What a command prints that finds something; the empty text where it finds nothing."""
    done = subprocess.run([sys.executable, '-m', *command], cwd=ROOT, capture_output=True, text=True)
    return '' if done.returncode == 0 else done.stdout + done.stderr


def test_ruff_finds_nothing():
    assert not run('ruff', 'check', '--no-cache', '--output-format', 'concise', '.')


def test_ruff_finds_what_it_is_for(tmp_path):
    (tmp_path / 'a.py').write_text('import os\nimport argparse\nprint("x", argparse)\n')
    found = run('ruff', 'check', '--no-cache', '--config', str(ROOT / 'pyproject.toml'), '--output-format', 'concise',
                str(tmp_path))
    assert all(rule in found for rule in ('F401', 'I001', 'Q000')), found


def test_mypy_finds_a_wrong_call_and_nothing_else(tmp_path):
    """The annotations of what a program calls hold, and are what tests/apis/typed_program.py says."""
    wrong, settings = tmp_path / 'wrong.py', tmp_path / 'pyproject.toml'
    wrong.write_text('from mmvis.structures import decode_rle\ndecode_rle(3)\n')
    text = (ROOT / 'pyproject.toml').read_text().replace('$MYPY_CONFIG_FILE_DIR', str(ROOT))
    settings.write_text(text.replace("'tests/apis/typed_program.py'", f"'tests/apis/typed_program.py', '{wrong}'"))
    found = run('mypy', '--no-incremental', '--config-file', str(settings)).splitlines()
    assert len(found) == 2 and 'incompatible type "int"; expected "RLE"' in found[0], '\n'.join(found)
    assert (ROOT / 'mmvis' / 'py.typed').is_file()  # else the checker of an installed package looks at nothing
