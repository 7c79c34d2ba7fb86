"""Mask2Former's and MinVIS's numbers are those of the official code."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'minvis' / 'public.json'


def test_the_official_numbers(capsys):
    """Pixel decoder, network, linking, records, losses, optimizer, sizes: the parts of the file that are quick."""
    assert check_parity.main(['minvis', str(GOLDEN)]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert 'compared 44 of 44, 0 beyond tolerance' in out and 'video/permutations' in out and 'lsj/items' in out
