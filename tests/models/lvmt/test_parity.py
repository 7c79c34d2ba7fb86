"""Numbers of the official code: the networks of LVMT and PMT, the GRU, a made scene, training in chunks."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402
from parity.lvmt import as_ordered  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'lvmt' / 'public.json'


def test_official_numbers(capsys):
    assert check_parity.check('lvmt', GOLDEN, None, None, brief=True).good, capsys.readouterr().out


def test_rounding_alone_may_swap_records():
    """Two records whose scores differ by less than 1e-5 stand as in the reference; others stay as they are."""
    found = dict(ids=[1, 2, 3], labels=[0, 0, 0], scores=[0.5, 0.4999999, 0.4], areas=[[1], [2], [3]])
    reference = dict(ids=[2, 3, 1], labels=[0, 0, 0])
    ordered = as_ordered(found, reference)
    assert ordered['ids'] == [2, 1, 3] and ordered['areas'] == [[2], [1], [3]]
    assert as_ordered(found, found) == found
