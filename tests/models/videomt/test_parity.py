"""Numbers of the official code: network, losses, post-processing, training data, and the image model."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'videomt' / 'public.json'


def test_official_numbers(capsys):
    assert check_parity.check('videomt', GOLDEN, None, None, brief=True).good, capsys.readouterr().out
