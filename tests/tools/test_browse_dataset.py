import subprocess
from pathlib import Path

import cv2
import pytest

from mmvis.datasets.sample_set import make_sample

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'browse_dataset.py'
CONFIG = """
train_dataloader = dict(dataset=dict(
    type='VISDataset', ann_file={ann_file!r}, img_prefix={img_prefix!r}, clip=dict(type='KeyReferencePairs'),
    pipeline=[dict(type='ClipResize', scale=(200, 120)), dict(type='ClipFlip', prob=1.0)]))
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp('set')
    make_sample(root / 'sample', splits=['train'], num_videos=dict(train=2))
    path = root / 'config.py'
    path.write_text(CONFIG.format(ann_file=str(root / 'sample/train.json'),
                                  img_prefix=str(root / 'sample/train/JPEGImages')))
    return path


def browse(python, *args):
    return subprocess.run([python, str(TOOL), *map(str, args)], capture_output=True, text=True)


def test_writes_a_sheet_a_clip(python, config, tmp_path):
    done = browse(python, config, '--out', tmp_path / 'sheets', '--num', 3, '--width', 200)
    assert done.returncode == 0, done.stderr
    sheets = sorted((tmp_path / 'sheets').iterdir())
    assert [sheet.suffix for sheet in sheets] == ['.png'] * 3
    assert cv2.imread(str(sheets[0])).shape == (111, 2 * 200 + 4, 3), 'two frames of 111 x 200 side by side'
    assert done.stdout.count('scale 0.6944, flipped') == 3


def test_says_what_is_wrong_in_one_line(python, config, tmp_path):
    done = browse(python, config, '--out', tmp_path, '--cfg-options', 'train_dataloader.dataset.ann_file=nowhere.json')
    assert done.returncode == 1 and 'nowhere.json' in done.stderr and 'Traceback' not in done.stderr
    (tmp_path / 'test.py').write_text('test_dataloader = dict(dataset=dict(type="VISDataset"))\n')
    for args, said in (([tmp_path / 'test.py'], 'test.py has no train_dataloader.dataset'),
                       ([config, '--num', '0'], "argument --num: '0' is not a whole number of at least 1"),
                       (['x' * 5000], 'There is no config xxx')):
        done = browse(python, *args, '--out', tmp_path)
        assert done.returncode == 1 and said in done.stderr and done.stderr.count('\n') == 1, done.stderr
