"""Numbers of the official code: MemCNP, its ResNet-50, and SipMask on its transformer."""
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402


@pytest.mark.parametrize('name, stages', [('public', 97), ('variant_r50_public', 28),
                                          ('variant_vit_sipmask_public', 26)])
def test_gives_the_official_numbers(name, stages, capsys):
    golden = ROOT / 'tests' / 'golden' / 'memcnp' / f'{name}.json'
    assert check_parity.main(['memcnp', str(golden)]) == 0, capsys.readouterr().out
    assert f'compared {stages} of {stages}, 0 beyond tolerance' in capsys.readouterr().out
