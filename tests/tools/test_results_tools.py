"""check_results, make_submission, split_dataset, upload_results and visualize_results from the command line."""
import contextlib
import importlib.util
import io
import json
import re
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
from helpers.full_disk import files_end_at
from helpers.stand_in_server import PASSWORD, USER, stand_in_server
from helpers.tiny_vis import CATEGORIES, edit_json, make_tiny_dataset

from mmvis.apis import BENCHMARKS
from mmvis.datasets import VISDataset, find_tree
from mmvis.engine import run_tool

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
SIZE = (48, 80)


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f'{name}_tool', TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, *args):
    """(exit code, stdout, stderr) of a tool, run in this process."""
    module = load_tool(name)
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = [name, *map(str, args)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run_tool(module.main)
            code = 0
    except SystemExit as left:
        code = left.code or 0
    finally:
        sys.argv = before
    assert 'Traceback (most recent' not in err.getvalue()
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def data(tmp_path):
    """A tiny set and its ground truth as a results file."""
    make_tiny_dataset(tmp_path, num_videos=3, num_frames=4, size=SIZE, split='valid')
    content = json.loads((tmp_path / 'valid.json').read_text())
    results = [dict(video_id=a['video_id'], score=0.9, category_id=a['category_id'], segmentations=a['segmentations'])
               for a in content['annotations']]
    (tmp_path / 'results.json').write_text(json.dumps(results))
    return tmp_path


def test_check_results_says_what_is_wrong_and_mends_it(data):
    assert run('check_results', data / 'results.json', data / 'valid.json')[:2] == \
        (0, f'6 entries with 21 masks against {data}/valid.json: no fault\n')
    edit_json(data / 'results.json', lambda results: results[1].update(score='0.5', video_id=10.0))
    code, out, _ = run('check_results', data / 'results.json', data / 'valid.json')
    assert code == 1 and 'fault: entry 1: score is the string "0.5"' in out and '--fix OUT mends 2' in out
    code, out, _ = run('check_results', data / 'results.json', data / 'valid.json', '--fix', data / 'mended.json')
    assert code == 0 and '2 values mended' in out
    assert run('check_results', data / 'mended.json', data / 'valid.json')[0] == 0
    edit_json(data / 'results.json', lambda results: results[0].pop('score'))
    code, out, _ = run('check_results', data / 'results.json', data / 'valid.json', '--fix', data / 'mended.json')
    assert code == 1 and 'entry 0: score is missing' in out and '1 faults cannot be mended' in out
    whole = (data / 'results.json').read_text()
    (data / 'results.json').write_text(whole[:-40])  # then nothing is promised that --fix cannot do
    code, out, _ = run('check_results', data / 'results.json', data / 'valid.json')
    assert code == 1 and 'not valid JSON: entry 5' in out and 'score is the string' in out and '--fix' not in out
    code, out, _ = run('check_results', data / 'results.json', data / 'valid.json', '--fix', data / 'never.json')
    assert code == 1 and f'{data}/never.json was not written.' in out and not (data / 'never.json').exists()


def test_check_results_knows_the_tables_of_the_benchmarks(data, monkeypatch):
    code, _, err = run('check_results', data / 'results.json', data / 'valid.json', '--benchmark', 'ovis')
    assert code == 1 and "categories: id 3 is 'square', but 'Cat' in OVIS" in err
    monkeypatch.chdir(data)  # no annotation file of OVIS here
    code, out, _ = run('check_results', 'results.json', '--benchmark', 'ovis')
    assert code == 0 and 'against OVIS (category ids only' in out
    edit_json('results.json', lambda results: results[0].update(category_id=26))
    assert run('check_results', 'results.json', '--benchmark', 'ovis')[0] == 1
    assert run('check_results', 'results.json', '--benchmark', 'ytvis2021')[0] == 0
    for wrong in (('results.json',), ('none.json', 'valid.json'), ('results.json', 'none.json')):
        code, _, err = run('check_results', *wrong)
        assert code == 1 and err.startswith('error: ')


def test_check_results_finds_the_annotation_file_of_a_benchmark(data, monkeypatch):
    names = list(BENCHMARKS['ovis'].categories.items())[:12]
    edit_json(data / 'valid.json', lambda content: content.update(categories=[dict(id=i, name=n) for i, n in names]))
    (data / 'data').mkdir()
    (data / 'data' / 'ovis').symlink_to(data)
    monkeypatch.chdir(data)
    code, out, _ = run('check_results', 'results.json', '--benchmark', 'ovis')
    assert code == 0 and 'against data/ovis/valid.json' in out


def test_make_submission_packs_good_files_only(data):
    target = data / 'new' / 's.zip'
    code, out, _ = run('make_submission', data / 'results.json', data / 'valid.json', '--out', target)
    assert code == 0 and '6 entries' in out
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == ['results.json']
        assert archive.read('results.json') == (data / 'results.json').read_bytes()
    target.unlink()
    edit_json(data / 'results.json', lambda results: results[0].update(category_id=0))
    code, out, err = run('make_submission', data / 'results.json', data / 'valid.json', '--out', target)
    assert code == 1 and 'entry 0: category_id 0' in out and 'has 1 faults, so no zip is made' in err
    assert not list(target.parent.iterdir())


def test_split_is_found_by_the_configs(tmp_path):
    make_tiny_dataset(tmp_path / 'data' / 'own', num_videos=10, num_frames=3, size=SIZE, split='train', num_objects=1)
    root = tmp_path / 'data' / 'own'
    code, out, _ = run('split_dataset', root / 'train.json', '--val-ratio', '0.3', '--out', root)
    assert code == 0 and 'instances_val_sub.json: 3 videos, 3 objects' in out
    train, val = (VISDataset(split, data_root=str(root), test_mode=True) for split in ('train', 'val'))
    assert find_tree('own', 'val', str(root)).ann_file.endswith('instances_val_sub.json')
    assert sorted(train.video_ids + val.video_ids) == list(range(10, 101, 10)) and len(val.video_ids) == 3
    assert f'val: {" ".join(map(str, val.video_ids))}' in out
    assert train.load_image(0, 0).shape == val.load_image(2, 1).shape == (*SIZE, 3)
    for category in CATEGORIES:  # 4, 3 and 3 videos: one each
        assert f'{category["name"]:<6}' + {3: '      3', 7: '      2', 12: '      2'}[category['id']] + '      1' in out
    assert run('split_dataset', root / 'train.json', '--val-ratio', '0.3', '--out', root)[1] == out
    for args, sentence in (((root / 'none.json',), 'no such file'),
                           ((root / 'train.json', '--val-ratio', '1'), 'empty'),
                           ((root / 'train.json', '--val-ratio', '2'), 'at least 0 and at most 1')):
        code, _, err = run('split_dataset', *args, '--out', tmp_path / 'out')
        assert code == 1 and sentence in err and not (tmp_path / 'out').exists()


def test_split_destroys_no_input_and_names_what_is_wrong(tmp_path):
    ann_file = make_tiny_dataset(tmp_path, num_videos=4, num_frames=3, size=SIZE, split='train')
    whole = tmp_path / 'annotations' / 'instances_val_sub.json'
    whole.parent.mkdir()
    ann_file.rename(whole)
    before = whole.read_bytes()
    code, _, err = run('split_dataset', whole, '--val-ratio', '0.5', '--out', tmp_path)
    assert code == 1 and 'is an input of this run' in err and whole.read_bytes() == before
    assert [path.name for path in whole.parent.iterdir()] == [whole.name]
    edit_json(whole, lambda content: content['annotations'][2].update(category_id=[7]))
    code, _, err = run('split_dataset', whole, '--val-ratio', '0.5', '--out', tmp_path / 'out')
    assert code == 1 and 'annotation 102: category_id is [7]' in err and not (tmp_path / 'out').exists()
    edit_json(whole, lambda content: content.pop('annotations'))
    code, _, err = run('split_dataset', whole, '--val-ratio', '0.5', '--out', tmp_path / 'out')
    assert code == 1 and 'this one has no annotations' in err


def test_upload_prints_the_score_and_never_the_password(data, monkeypatch):
    zip_path = data / 'x.zip'
    run('make_submission', data / 'results.json', data / 'valid.json', '--out', zip_path)
    monkeypatch.setenv('MMVIS_UPLOAD_USER', USER)
    monkeypatch.setenv('MMVIS_UPLOAD_PASSWORD', PASSWORD)
    monkeypatch.setattr('mmvis.apis.competition._FIRST_PAUSE', 0.01)
    with stand_in_server() as server:
        where = ('--server', server.url, '--competition', '42', '--platform', 'codalab')
        code, out, err = run('upload_results', zip_path, *where, '--json', data / 'scores.json')
        assert code == 0 and out.endswith('finished\nmAP   0.3419\nAR10  0.375\n')
        assert PASSWORD not in out + err and 'Signature' not in out
        assert json.loads((data / 'scores.json').read_text())['scores'] == {'mAP': '0.3419', 'AR10': '0.375'}
        code, out, _ = run('upload_results', '--submission', '99', *where)
        assert code == 0 and 'mAP   0.3419' in out and len(server.play.submissions) == 1
        server.play.states = ['failed']
        code, out, err = run('upload_results', zip_path, *where)
        assert code == 1 and 'rejects submission 99: FileNotFoundError: input/res/results.json' in err
        monkeypatch.delenv('MMVIS_UPLOAD_PASSWORD')
        monkeypatch.setattr('sys.stdin', io.StringIO())
        code, _, err = run('upload_results', zip_path, *where)
        assert code == 1 and 'set MMVIS_UPLOAD_USER and MMVIS_UPLOAD_PASSWORD' in err
    for args, sentence in (((zip_path,), 'Where to?'), ((zip_path, '--benchmark', 'ovis'), 'is closed since January 2026'),
                           ((zip_path, '--server', 'www.codabench.org', '--benchmark', 'ovis'), 'Where to?'),
                           ((data / 'results.json', '--server', 'https://x.org', '--competition', '1'), 'not a zip file')):
        code, _, err = run('upload_results', *args)
        assert code == 1 and sentence in err


def test_overlays_in_every_format(data):
    frames = data / 'valid'  # the level JPEGImages is found
    common = (data / 'results.json', data / 'valid.json', frames)
    code, out, _ = run('visualize_results', *common, '--out', data / 'vis', '--gt', '--videos', '20')
    assert code == 0 and sorted(p.name for p in (data / 'vis').iterdir()) == ['video_1.mp4']
    video = cv2.VideoCapture(str(data / 'vis' / 'video_1.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 4 and video.get(cv2.CAP_PROP_FRAME_WIDTH) == 2 * SIZE[1]
    assert run('visualize_results', *common, '--out', data / 'f', '--format', 'frames')[0] == 0
    assert len(list((data / 'f').glob('video_*/0000*.jpg'))) == 12
    assert run('visualize_results', *common, '--out', data / 's', '--format', 'sheet', '--videos', 'video_2')[0] == 0
    assert cv2.imread(str(data / 's' / 'video_2.jpg')).shape[1] == 4 * 320 + 3 * 4
    code, out, _ = run('visualize_results', *common, '--out', data / 'one.png', '--format', 'sheet', '--gt')
    assert code == 0 and out == f'{data}/one.png: 3 videos\n'
    for args, sentence in ((('--videos', '99'), "no video '99'"), (('--out', 'x.png'), 'needs --format sheet')):
        code, _, err = run('visualize_results', *common, *args)
        assert code == 1 and sentence in err


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_what_a_tool_reads_is_not_written_over(data):
    results, annotations, frames = data / 'results.json', data / 'valid.json', data / 'valid'
    run('make_submission', results, annotations, '--out', data / 'x.zip')
    (data / 'link.zip').symlink_to(results)
    before = files_of(data)
    draw = ('visualize_results', results, annotations, frames)
    for args in (('make_submission', results, annotations, '--out', results),
                 ('make_submission', results, annotations, '--out', annotations),
                 ('make_submission', results, annotations, '--out', data / 'link.zip'),
                 ('eval_results', results, annotations, '--json', annotations),
                 ('eval_results', results, annotations, '--csv', results),
                 ('eval_results', results, annotations, '--html', data / 'link.zip'),
                 ('upload_results', data / 'x.zip', '--server', 'https://x.org', '--competition', '1', '--json', data / 'x.zip'),
                 (*draw, '--format', 'sheet', '--out', frames / 'JPEGImages' / 'video_0' / '00000.jpg')):
        code, _, err = run(*args)
        assert code == 1 and 'is an input of this run' in err, args
    code, _, err = run(*draw, '--format', 'frames', '--out', frames / 'JPEGImages')
    assert code == 1 and 'among the frames of the data set' in err
    for args in ((*draw, '--out', results), (*draw, '--format', 'sheet', '--out', results / 'x.png')):
        code, _, err = run(*args)
        assert code == 1 and f'{results} is not a folder' in err
    assert files_of(data) == before


def test_pictures_of_odd_ids_and_names_stay_in_the_folder_and_apart(data, monkeypatch):
    """Videos '..', 'a/b' and 'a_b' of frames that share their folder and their stems."""
    ids = dict(zip((10, 20, 30), ('..', 'a/b', 'a_b')))
    frames = data / 'valid' / 'JPEGImages'
    for number, path in enumerate(sorted(frames.glob('*/*.jpg'))):
        path.rename(frames / f'{number // 2}{".jpg" if number % 2 else ".jpeg"}')

    def change(content):
        for number, video in enumerate(content['videos']):
            video.update(id=ids[video['id']], file_names=[f'{(4 * number + i) // 2}{".jpg" if i % 2 else ".jpeg"}'
                                                          for i in range(4)])
        for annotation in content['annotations']:
            annotation['video_id'] = ids[annotation['video_id']]

    edit_json(data / 'valid.json', change)
    edit_json(data / 'results.json', lambda entries: [entry.update(video_id=ids[entry['video_id']]) for entry in entries])
    (data / 'work').mkdir()
    monkeypatch.chdir(data / 'work')
    before = files_of(data)
    common = ('visualize_results', data / 'results.json', data / 'valid.json', data / 'valid', '--out', 'vis')
    for kind in ('frames', 'mp4', 'sheet'):
        code, _, err = run(*common, '--format', kind)
        assert code == 0, err
    made = files_of(data).keys() - before.keys()
    assert made == {f'work/vis/{name}{rest}' for number, name in enumerate(('%2E%2E', 'a%2Fb', 'a_b')) for rest in
                    ('.mp4', '.jpg', *(f'/{2 * number + i}{kind}.jpg' for i in (0, 1) for kind in ('.jpeg', '.jpg')))}


def test_a_frame_whose_name_no_file_can_have_is_missing(data):
    edit_json(data / 'valid.json', lambda content: content['videos'][0]['file_names'].__setitem__(0, 'a' * 5000))
    code, _, err = run('visualize_results', data / 'results.json', data / 'valid.json', data / 'valid', '--out', data / 'vis')
    assert code == 1 and re.match('error: video .*: frame ', err) and err.count('\n') == 1
    assert 'File name too long' in err


@pytest.mark.parametrize('name', ['/etc/passwd', '../../../secret.jpg'])
def test_a_frame_outside_the_folder_is_not_opened(data, name):
    edit_json(data / 'valid.json', lambda content: content['videos'][0]['file_names'].__setitem__(0, name))
    code, _, err = run('visualize_results', data / 'results.json', data / 'valid.json', data / 'valid', '--out',
                       data / 'vis')
    assert code == 1 and err.count('\n') == 1 and f"file_names: '{name}' is not in the folder" in err


@pytest.mark.parametrize('tool, option', [
    ('visualize_results', ('--width', '0')), ('visualize_results', ('--width', '10000000')),
    ('visualize_results', ('--columns', '-1')), ('visualize_results', ('--fps', 'nan')),
    ('visualize_results', ('--fps', '1e9')), ('visualize_results', ('--thresh', 'nan')),
    ('split_dataset', ('--seed', '-1')), ('split_dataset', ('--val-ratio', 'nan')),
    ('eval_results', ('--workers', '0')), ('eval_results', ('--min-score', 'nan')),
    ('eval_results', ('--long-frames', '-3')),
    ('make_sample', ('--seed', str(2 ** 32)))])
def test_a_number_that_cannot_be_is_said(tool, option):
    files = dict(visualize_results=3, eval_results=2, split_dataset=1, make_sample=0)[tool]
    code, out, err = run(tool, *['x'] * files, *option)
    assert code == 1 and not out and err.count('\n') == 1 and f"argument {option[0]}: '{option[1]}' is not a " in err


def test_a_full_disk_ends_a_drawing_with_a_sentence(data, monkeypatch):
    common = ('visualize_results', data / 'results.json', data / 'valid.json', data / 'valid', '--out', data / 'vis')
    with files_end_at(1_000):
        for kind, name in (('mp4', 'video_0.mp4'), ('frames', 'video_0/00000.jpg'), ('sheet', 'video_0.jpg')):
            code, _, err = run(*common, '--format', kind)
            assert code == 1 and err == f'error: {data}/vis/{name} cannot be written: File too large.\n'
    assert not files_of(data / 'vis')
    with files_end_at(100):
        for args, path in ((('make_submission', '--out'), data / 'x.zip'), (('eval_results', '--html'), data / 'x.html')):
            code, _, err = run(args[0], data / 'results.json', data / 'valid.json', args[1], path)
            assert code == 1 and err.splitlines()[-1] == f'error: {path} cannot be written: File too large.'
            assert not path.exists()


def test_the_end_of_a_test_run_checks_zips_and_sends(data, monkeypatch, capsys):
    submit, results = load_tool('test_video').submit, data / 'results.json'
    for name in ('MMVIS_UPLOAD_USER', 'MMVIS_UPLOAD_PASSWORD'):
        monkeypatch.delenv(name, raising=False)
    submit(results, SimpleNamespace(metainfo=dict(name='own data'), ann_file=str(data / 'valid.json')))
    assert 'results.zip is not sent' in capsys.readouterr().out and (data / 'results.zip').is_file()
    names = list(BENCHMARKS['ovis'].categories.items())[:12]
    edit_json(data / 'valid.json', lambda content: content.update(categories=[dict(id=i, name=n) for i, n in names]))
    ovis = SimpleNamespace(metainfo=dict(name='OVIS'), ann_file=str(data / 'valid.json'))
    submit(results, ovis)
    assert f'tools/upload_results.py {data}/results.zip --server URL --competition ID' in capsys.readouterr().out
    monkeypatch.setenv('MMVIS_UPLOAD_USER', USER)
    monkeypatch.setenv('MMVIS_UPLOAD_PASSWORD', PASSWORD)
    with pytest.raises(ValueError, match='^https://codalab.lisn.upsaclay.fr is closed since January 2026: give --server and'):
        submit(results, ovis)
    monkeypatch.setattr('mmvis.apis.competition._FIRST_PAUSE', 0.01)
    with stand_in_server() as server:
        monkeypatch.setitem(BENCHMARKS, 'ovis', BENCHMARKS['ovis']._replace(server=server.url, competition=42))
        server.play.zip_name = 'results.zip'
        submit(results, ovis)
        assert (data / 'results.zip').read_bytes() in server.play.stored
    assert capsys.readouterr().out.endswith('mAP   0.3419\nAR10  0.375\n')
    edit_json(results, lambda entries: entries[0].update(category_id=0))
    with pytest.raises(ValueError, match='has 1 faults, so no zip'):
        submit(results, ovis)


def test_damaged_frames_are_drawn_on_when_asked_for(data):
    frame = data / 'valid' / 'JPEGImages' / 'video_1' / '00002.jpg'
    frame.write_bytes(frame.read_bytes()[:-20] + b'\xff\xd9')
    common = ('visualize_results', data / 'results.json', data / 'valid.json', data / 'valid', '--out', data / 'vis')
    code, _, err = run(*common)
    assert code == 1 and 'video_1/00002.jpg is damaged (Corrupt JPEG data' in err
    code, out, _ = run(*common, '--use-damaged-frames')
    assert code == 0 and 'Damaged frames that were used: 1 (' in out.splitlines()[-1]
