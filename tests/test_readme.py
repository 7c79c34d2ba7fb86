"""The README is short, and its commands lead from the files of an annotation tool to a trained model and its results."""
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from helpers.foreign_sets import NUM_FRAMES, VIDEOS, WRITERS

from mmvis.__main__ import COMMANDS, TOOLS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_it_has_at_most_700_words_outside_its_table():
    lines = README.splitlines()
    rows = [number for number, line in enumerate(lines) if line.startswith('|')]
    assert rows and rows == list(range(rows[0], rows[-1] + 1)), 'one table'
    assert sum(len(line.split()) for line in lines if not line.startswith('|')) <= 700


def commands_of(section):
    """The commands of the first block of a section, as lists of words."""
    block = README.split(f'## {section}\n')[1].split('```\n')[1]
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def fill(words, form):
    """A command of the README for a source of a format, with a training of one epoch on small frames."""
    replaced = {'labelme': form, 'max_epochs=20': 'max_epochs=1', 'scale=(384,216)': 'scale=(128,96)'}
    return [replaced.get(word, word).replace('epoch_20', 'epoch_1') for word in words]


def run(words, python=None):
    """What a command of the README prints.

    Args:
        python: runs the file behind the subcommand where PyTorch is needed; by default the real Python runs ``mmvis``.
    """
    assert words[0] == 'mmvis'
    start = [python, str(TOOLS / COMMANDS[words[1]])] if python else [sys.executable, '-m', *words[:2]]
    done = subprocess.run([*start, *words[2:]], capture_output=True, text=True)
    assert done.returncode == 0, f'{words}: {done.stdout}{done.stderr}'
    return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


def untrained_resnet18():
    """In place of what the network gives."""
    Path('models').mkdir()
    torch.save(torchvision.models.resnet18().state_dict(), 'models/resnet18.pth')


def test_from_the_files_of_a_tool_to_ap_and_overlays(python):
    WRITERS['labelme'](Path('my_labels'))
    printed = {}
    for words in commands_of('Your own videos'):
        if words == ['mmvis', 'download', 'resnet18']:
            untrained_resnet18()
        else:
            light = words[1] in ('convert', 'split', 'statistics')
            printed[words[1]] = run(fill(words, 'labelme'), None if light else python)
    assert list(printed) == ['convert', 'split', 'statistics', 'browse', 'train', 'test'] and Path('models').is_dir()
    assert '2 videos, 10 frames, 3 tracks with 14 masks, 2 classes: car, person' in printed['convert']
    assert '3 tracks (0 crowds), 14 masks' in printed['statistics']
    assert len(list(Path('browse').glob('*.png'))) == NUM_FRAMES
    assert 'Saving checkpoint at 1 epochs' in printed['train']
    held_out, = json.loads(Path('data/custom/annotations/instances_val_sub.json').read_text())['videos']
    assert {entry['video_id'] for entry in json.loads(Path('results.json').read_text())} <= {held_out['id']}
    for command in ('train', 'test'):
        assert re.search(r'^ *AP +[-\d]', printed[command], re.M), command
    assert len(list(Path('overlays').glob('*/*.jpg'))) == NUM_FRAMES


@pytest.fixture(scope='module')
def labelme_set(tmp_path_factory):
    """What the conversion makes of the files of labelme."""
    folder = tmp_path_factory.mktemp('labelme')
    run(['mmvis', 'convert', 'labelme', str(WRITERS['labelme'](folder / 'set')), '--out', str(folder / 'train.json')])
    return json.loads((folder / 'train.json').read_text())


@pytest.mark.parametrize('form', sorted(set(WRITERS) - {'labelme'}))
def test_the_files_of_every_tool_become_the_same_set(form, labelme_set):
    """What follows the conversion has nothing else to work on, so that it is run once, above."""
    WRITERS[form](Path('my_labels'))
    assert f'`{form}`' in README.split('## Your own videos')[1]
    run(fill(commands_of('Your own videos')[0], form))
    own = json.loads(Path('data/custom/train.json').read_text())
    for video, name in zip(own['videos'], VIDEOS, strict=True):
        assert len(video['file_names']) == NUM_FRAMES and all(name in file for file in video['file_names'])
        assert all(Path('data/custom/train/JPEGImages', file).is_file() for file in video['file_names'])
    without_names = [[{**video, 'file_names': None} for video in data['videos']] for data in (own, labelme_set)]
    assert without_names[0] == without_names[1]
    assert own['categories'] == labelme_set['categories'] and own['annotations'] == labelme_set['annotations']
