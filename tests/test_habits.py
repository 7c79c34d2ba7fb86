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
