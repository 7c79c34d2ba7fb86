"""Numbers of the official code: the OVIS model over five frames, its losses, the operators and the post-processing."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'instanceformer' / 'public.json'


def test_instanceformer_gives_the_official_numbers(capsys):
    assert check_parity.check('instanceformer', GOLDEN, None, None, brief=False).good, capsys.readouterr().out
    out = capsys.readouterr().out
    assert 'inference.ovis.stages.output.pred_masks' in out and 'train.ovis_bs1.loss.supcon' in out
