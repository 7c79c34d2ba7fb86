"""Numbers of the official code: the networks of LVMT and PMT, the GRU, a made scene, training in chunks."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'lvmt' / 'public.json'


def test_official_numbers(capsys):
    assert check_parity.check('lvmt', GOLDEN, None, None, brief=True).good, capsys.readouterr().out
