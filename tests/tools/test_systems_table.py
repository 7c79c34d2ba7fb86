"""The table of systems in README.md says what the files say."""
import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402
import systems_table  # noqa: E402


def test_readme_has_the_table_of_now():
    text = systems_table.README.read_text(encoding='utf-8')
    now = systems_table.replaced(systems_table.README, systems_table.MARK, systems_table.markdown())
    assert now == text, 'run: python tools/systems_table.py --write'


def test_parity_counts_are_those_of_the_files():
    files = systems_table.read('parity.json')['files']
    assert {row['system'] for row in files} == set(check_parity.SYSTEMS)
    for row in files:
        path = ROOT / 'tests' / 'golden' / row['file']
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row['sha256'], f'{path} is not the file that was compared'
        assert row['beyond'] == row['unread'] == 0 and row['worst'] <= 1


def test_every_system_has_its_row_and_config():
    systems = systems_table.read('systems.json')
    assert {system['parity'] for system in systems} == set(check_parity.SYSTEMS)
    assert len(systems_table.markdown().splitlines()) == 2 + len(systems)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the hand-written facts and nothing measured."""
    shutil.copy(systems_table.MEASURED / 'systems.json', tmp_path)
    monkeypatch.setattr(systems_table, 'MEASURED', tmp_path)
    return tmp_path


def test_figures_come_from_the_files(folder):
    assert systems_table.markdown().count(systems_table.UNKNOWN) == 3 * len(systems_table.read('systems.json'))
    row = dict(system='ifc', file='x', compared=8, beyond=2, unread=1)
    (folder / 'parity.json').write_text(json.dumps(dict(files=[row, dict(row, system='iai')])))
    (folder / 'ifc_sample_ap.json').write_text(json.dumps(dict(names=['AP50', 'AP'], stats=[0.9, 0.3456])))
    (folder / 'ifc_speed.json').write_text(json.dumps(dict(runs=[dict(threads=2, seconds=9., yardstick=9.),
                                                                 dict(threads=1, seconds=0.25, yardstick=0.5)])))
    line = next(x for x in systems_table.markdown().splitlines() if x.startswith('| [IFC]'))
    assert '| 6 of 9 stages | 0.346 | 4.00 (0.50) |' in line


def test_write_replaces_the_table_alone(folder, tmp_path, monkeypatch):
    readme = tmp_path / 'README.md'
    monkeypatch.setattr(systems_table, 'README', readme)
    readme.write_text(f'Before.\n\n{systems_table.MARK}\n| old |\n|---|\n\nAfter.\n')
    systems_table.main(['--write'])
    assert readme.read_text() == f'Before.\n\n{systems_table.MARK}\n{systems_table.markdown()}\nAfter.\n'
    readme.write_text('No table.\n')
    with pytest.raises(ValueError, match='has no line'):
        systems_table.main(['--write'])
