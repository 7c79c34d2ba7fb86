"""tools/convert_annotations.py: from every format to a file that the data set finds its frames for, and back out."""
import json
import re
import shutil
import sys
from pathlib import Path

import cv2
import pytest

from mmvis.datasets import VISDataset
from mmvis.errors import InputError
from mmvis.evaluation.vis_eval import evaluate_results
from mmvis.visualization import VideoFile

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tools'), str(ROOT / 'tests' / 'helpers')]
from convert_annotations import main  # noqa: E402
from foreign_sets import VIDEOS, WRITERS, write_coco  # noqa: E402


@pytest.mark.parametrize('name', WRITERS)
def test_the_dataset_reads_what_is_written(name, tmp_path, capsys):
    source = WRITERS[name](tmp_path / 'set')
    out = tmp_path / 'custom' / 'train.json'
    main([name, str(source), '--out', str(out), '--classes', 'car', 'person'])
    printed = capsys.readouterr().out
    assert '2 videos, 10 frames, 3 tracks with 14 masks, 2 classes: car, person' in printed
    dataset = VISDataset(ann_file=str(out), clip=dict(type='SingleFrames'))
    assert dataset.classes == ('car', 'person')
    frame = dataset.load_frame(0, 0)
    assert sorted(frame.labels.tolist()) == [0, 1] and frame.masks.sum() == 20 * 12 + 8 * 20
    annotation = json.loads(out.read_text())['annotations'][0]
    assert annotation['bboxes'][0] == [4, 10, 20, 12] and annotation['areas'][0] == 240


def test_frames_are_cut_from_the_videos_that_were_annotated(tmp_path, capsys):
    """All a user of CVAT has is its XML and his videos."""
    source = WRITERS['cvat'](tmp_path / 'set')
    (tmp_path / 'videos').mkdir()
    for name in VIDEOS:
        with VideoFile(tmp_path / 'videos' / f'{name}.mp4', fps=5) as video:
            for picture in sorted((source / 'images' / name).iterdir()):
                video.add(cv2.imread(str(picture)))
    shutil.rmtree(source / 'images')
    out = tmp_path / 'custom' / 'train.json'
    main(['cvat', str(source), '--frames', str(tmp_path / 'videos'), '--out', str(out)])
    printed = capsys.readouterr().out
    assert re.search(r'street.mp4 \((PyAV|OpenCV)\): 5 frames in ', printed) and 'a link' not in printed
    frame = VISDataset(ann_file=str(out), clip=dict(type='SingleFrames')).load_frame(0, 3)
    inside = frame.image[frame.masks.any(0)]
    assert len(inside) == 20 * 12 + 8 * 20 and (inside[:, 1] > 150).all()  # the objects are where their masks are
    one = tmp_path / 'other.mp4'  # a single video belongs to the source, whatever it is called
    shutil.copy(tmp_path / 'videos' / 'yard.mp4', one)
    main(['cvat', str(source / 'yard.xml'), '--frames', str(one), '--out', str(tmp_path / 'one.json')])
    names = json.loads((tmp_path / 'one.json').read_text())['videos'][0]['file_names']
    assert names[0] == 'other/000000.jpg' and all((tmp_path / 'one' / 'JPEGImages' / name).is_file() for name in names)
    with pytest.raises(InputError, match='holds videos, which are cut .* convert to ytvis first'):
        main(['cvat', str(source), '--frames', str(tmp_path / 'videos'), '--to', 'coco', '--out', str(out)])


@pytest.fixture()
def valid(tmp_path):
    out = tmp_path / 'valid.json'
    main(['coco', str(write_coco(tmp_path / 'set')), '--out', str(out)])
    return out


@pytest.mark.parametrize('name', ['mots', 'coco'])
def test_results_of_another_tool_are_evaluated(name, valid, tmp_path):
    """The annotations as if a tool had found them: AP 1."""
    if name == 'mots':
        source = WRITERS['mots'](tmp_path / 'tool') / 'instances'
        (source / 'categories.json').write_text('{"1": "car", "2": "person"}')
        for picture in source.rglob('*.png'):  # MOTS counts from 1 in that set, the frames from 0
            picture.rename(picture.with_name(f'a{int(picture.stem) - 1:06d}.png'))
    else:
        truth = json.loads((tmp_path / 'set' / 'tracks.json').read_text())
        names = {image['id']: image['file_name'] for image in truth['images']}
        rows = [dict(image_id=names[a['image_id']], category_id=a['category_id'], track_id=a['track_id'], score=0.9,
                     segmentation=a['segmentation']) for a in truth['annotations']]
        source = tmp_path / 'rows.json'
        source.write_text(json.dumps(rows))
    main([name, str(source), '--to', 'results', '--annotations', str(valid), '--out', str(tmp_path / 'results.json')])
    entries = json.loads((tmp_path / 'results.json').read_text())
    assert len(entries) == 3 and all(len(entry['segmentations']) == 5 for entry in entries)
    assert evaluate_results(str(tmp_path / 'results.json'), str(valid)).stats['AP'] == pytest.approx(1.)


@pytest.mark.parametrize('to', ['labelme', 'cvat', 'coco', 'mots', 'davis'])
def test_predictions_become_annotations_to_correct(to, valid, tmp_path):
    main(['coco', str(tmp_path / 'set' / 'tracks.json'), '--out', str(tmp_path / 'again.json')])
    data = json.loads(valid.read_text())
    rows = [dict(video_id=a['video_id'], category_id=a['category_id'], score=0.2 + 0.3 * n, segmentations=a['segmentations'])
            for n, a in enumerate(data['annotations'])]
    (tmp_path / 'results.json').write_text(json.dumps(rows))
    out = tmp_path / ('out.json' if to == 'coco' else 'out')
    main(['results', str(tmp_path / 'results.json'), '--annotations', str(valid), '--to', to, '--out', str(out)])
    main([to, str(out), '--out', str(tmp_path / 'back.json'), '--frames', str(tmp_path / 'set' / 'images')])
    assert len(json.loads((tmp_path / 'back.json').read_text())['annotations']) == 2  # one has a score below 0.3


@pytest.mark.parametrize('args, words', [
    (['labelme', 'nothing', '--out', 'x.json'], 'nothing: there is no such file or folder'),
    (['coco', '{valid}', '--out', '{valid}'], 'is an input of this run'),
    (['ytvis', '{valid}', '--out', 'x.json', '--classes', 'car'], "has the class 'person'"),
    (['ytvis', '{valid}', '--out', 'x.json', '--frames', 'nowhere'], '--frames nowhere is not there'),
    (['ytvis', '{valid}', '--out', 'a.xml', '--to', 'cvat'], 'has one video, and these are 2')])
def test_faults_are_sentences(args, words, valid, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        main([text.format(valid=valid) for text in args])


@pytest.mark.parametrize('args', [['results', 'r.json', '--out', 'x'], ['davis', 'd', '--to', 'results', '--out', 'x',
                                                                       '--annotations', 'a']])
def test_arguments_that_do_not_go_together(args, capsys):
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 1 and 'error' in capsys.readouterr().err
