"""tools/test_video.py from the command line: files, resuming, processes, evaluation, pictures."""
import importlib.util
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import torch
from helpers.tiny_coco import write_coco
from helpers.tiny_vis import edit_json, make_tiny_dataset
from mmengine.logging import MMLogger

from mmvis.engine import build_runner, load_config, run_tool
from mmvis.errors import InputError
from mmvis.evaluation import Evaluator, Rules, evaluate_results
from mmvis.evaluation.subsets import evaluate_short_long
from mmvis.structures import decode_rle

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'test_video.py'
SIZE = (48, 80)
CONFIG = """
custom_imports = dict(imports=['helpers.toy_tracker'])
default_scope = 'mmvis'
model = dict(type='ToyTracker', num_classes=3)
test_dataloader = dict(
    batch_size=1, num_workers=1, sampler=dict(type='VideoSampler'), collate_fn=dict(type='clip_collate'),
    dataset=dict(type='VISDataset', split='valid', data_root={root!r}, ann_file='valid.json', test_mode=True,
                 chunk_size=2))
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A set of five videos of unequal length, a config and a checkpoint."""
    root = tmp_path_factory.mktemp('data')
    make_tiny_dataset(root, num_videos=5, num_frames=6, size=SIZE, split='valid')

    def shorten(content):
        for video, length in zip(content['videos'], (6, 3, 5, 6, 2)):
            video.update(length=length, file_names=video['file_names'][:length])
            for annotation in content['annotations']:
                if annotation['video_id'] == video['id']:
                    annotation['length'] = length
                    for key in ('bboxes', 'areas', 'segmentations'):
                        annotation[key] = annotation[key][:length]

    edit_json(root / 'valid.json', shorten)
    (root / 'toy.py').write_text(CONFIG.format(root=str(root)))
    torch.save({'state_dict': {'gain': torch.ones(1)}}, root / 'toy.pth')
    return root


def load_tool():
    spec = importlib.util.spec_from_file_location('test_video_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tool(data, tmp_path, monkeypatch):
    """Runs the tool in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*args, config=data / 'toy.py', checkpoint=data / 'toy.pth'):
        monkeypatch.setattr(sys, 'argv', ['test_video.py', str(config), str(checkpoint), *map(str, args)])
        MMLogger._instance_dict.clear()  # named by the second: that of another test writes where its output went
        load_tool().main()

    return run


@pytest.fixture(scope='module')
def expected(data, tmp_path_factory):
    """The results file of an uninterrupted run of one process."""
    folder = tmp_path_factory.mktemp('expected')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = [str(data / 'toy.py'), str(data / 'toy.pth'), '--out', 'results.json']
        patch.setattr(sys, 'argv', ['test_video.py', *arguments])
        load_tool().main()
    return (folder / 'results.json').read_bytes()


def environment():
    """For a process of its own; the number of threads is left to the tool."""
    path = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
    return {**{key: value for key, value in os.environ.items() if key != 'OMP_NUM_THREADS'}, 'PYTHONPATH': path}


def command(python, data, folder, *args, checkpoint=None):
    return subprocess.run([python, str(TOOL), str(data / 'toy.py'), str(checkpoint or data / 'toy.pth'), *args],
                          cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)


def test_results_have_the_ids_and_sizes_of_the_annotation_file(data, expected):
    entries = json.loads(expected)
    lengths = {video['id']: video['length'] for video in json.loads((data / 'valid.json').read_text())['videos']}
    assert [entry['video_id'] for entry in entries] == [video_id for video_id in lengths for _ in range(3)]
    assert {entry['category_id'] for entry in entries} == {3, 7, 12}
    for entry in entries:
        assert list(entry) == ['video_id', 'score', 'category_id', 'segmentations']
        assert len(entry['segmentations']) == lengths[entry['video_id']]
        for rle in entry['segmentations']:
            assert rle is None or decode_rle(rle).shape == SIZE


def test_a_killed_run_goes_on_with_two_processes(python, data, expected, tmp_path):
    args = [sys.executable, str(TOOL), str(data / 'toy.py'), str(data / 'toy.pth'), '--out', 'results.json']
    slow = {**environment(), 'TOY_SECONDS': '0.25'}
    run = subprocess.Popen(args, cwd=tmp_path, env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part = tmp_path / 'results.json.part.0'
    give_up = time.monotonic() + 60
    while not (part.exists() and b'"end"' in part.read_bytes() and part.read_bytes().count(b'{"frame"') > 7):
        assert run.poll() is None and time.monotonic() < give_up
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (tmp_path / 'results.json').exists()

    finished = command(python, data, tmp_path, '--out', 'results.json', '--gpus', '2', '--save_vis_path', 'pictures')
    assert finished.returncode == 0, finished.stderr
    assert 'Going on with results.json: ' in finished.stdout + finished.stderr
    assert 'of the videos were finished by an earlier run: pictures and analysis' in finished.stdout
    assert (tmp_path / 'results.json').read_bytes() == expected
    assert not list(tmp_path.glob('results.json.*'))


def test_dist_test_starts_the_processes_and_evaluates_once(data, expected, tmp_path):
    finished = subprocess.run(
        ['sh', str(ROOT / 'tools' / 'dist_test.sh'), str(data / 'toy.py'), str(data / 'toy.pth'), '2', '--out', 'r.pkl',
         '--eval', 'segm'], cwd=tmp_path, env={**environment(), 'PYTHON': sys.executable}, capture_output=True,
        text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / 'r.pkl.json').read_bytes() == expected
    assert finished.stdout.count('AP50') == 1
    with open(tmp_path / 'r.pkl', 'rb') as file:
        assert len(pickle.load(file)) == 22
    usage = subprocess.run(['sh', str(ROOT / 'tools' / 'dist_test.sh'), 'x'], capture_output=True, text=True)
    assert usage.returncode == 1 and 'usage' in usage.stderr


def test_showing_changes_nothing_and_pictures_have_the_names_of_the_data(data, tool, expected, tmp_path):
    tool('--out', 'results.json', '--show', 'True', '--save_vis_path', 'vis', '--thresh', '0.1')
    assert (tmp_path / 'results.json').read_bytes() == expected
    pictures = sorted(path.relative_to(tmp_path / 'vis').as_posix() for path in (tmp_path / 'vis').rglob('*.*'))
    videos = json.loads((data / 'valid.json').read_text())['videos']
    assert pictures == sorted(name for video in videos for name in video['file_names'])
    picture = cv2.imread(str(tmp_path / 'vis' / pictures[0]))
    assert picture.shape == (*SIZE, 3)
    frame = cv2.imread(str(next(data.rglob(pictures[0]))))
    assert abs(picture.astype(int) - frame).mean() > 5  # something is drawn
    tool('--save_vis_path', 'blank', '--thresh', '1.1')  # nothing reaches this score
    assert abs(cv2.imread(str(tmp_path / 'blank' / pictures[0])).astype(int) - frame).mean() < 5


def test_show_without_a_display_saves_and_says_where(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    tool('--show')
    assert 'no display' in capsys.readouterr().out
    assert len(list((tmp_path / 'work_dirs' / 'toy' / 'vis').rglob('*.jpg'))) == 22


@pytest.mark.parametrize('name, files', [
    ('x.pkl', {'x.pkl', 'x.pkl.json'}), ('NAME', {'NAME.json'}), ('v1.2', {'v1.2.json'}), ('y.json', {'y.json'})])
def test_files_by_the_name_of_out(tool, expected, tmp_path, name, files):
    tool('--out', f'out/{name}')
    assert {path.name for path in (tmp_path / 'out').iterdir()} == files
    results = next(file for file in files if file.endswith('.json'))
    assert (tmp_path / 'out' / results).read_bytes() == expected


def test_out_may_be_a_folder(tool, expected, tmp_path):
    (tmp_path / 'output').mkdir()
    tool('--out', 'output/')
    assert (tmp_path / 'output' / 'results.json').read_bytes() == expected


def test_eval_prints_the_table_of_the_results_file(data, tool, tmp_path, capsys):
    tool('--eval', 'bbox', 'segm')
    printed = capsys.readouterr().out
    results = tmp_path / 'work_dirs' / 'toy' / 'results.json'
    assert evaluate_results(results, data / 'valid.json').table() in printed
    assert 'bbox is not evaluated' in printed and str(results.relative_to(tmp_path)) in printed


def test_eval_follows_the_rules_that_the_config_names(data, tool, tmp_path, capsys):
    content = json.loads((data / 'valid.json').read_text())
    for number, annotation in enumerate(content['annotations']):
        annotation['occlusion'] = [('no_occlusion', 'severe_occlusion')[number % 2]] * annotation['length']
    (data / 'occluded.json').write_text(json.dumps(content))
    tool('--out', 'r.json', '--eval', 'segm', '--cfg-options', 'test_dataloader.dataset.ann_file=occluded.json',
         'test_evaluator.type=VISMetric', 'test_evaluator.benchmark=ovis', 'test_evaluator.long_frames=4')
    printed = capsys.readouterr().out
    evaluator = Evaluator(tmp_path / 'r.json', data / 'occluded.json', Rules('ovis'))
    assert evaluator.evaluate().table() in printed and 'AP_so' in printed
    assert evaluate_short_long(evaluator, [10, 30, 40]).table() in printed


def test_validation_measures_what_the_results_file_is_worth(data, tool, tmp_path):
    tool('--out', 'r.json')
    cfg = load_config(str(data / 'toy.py'))
    cfg.update(work_dir='work', val_dataloader=cfg.test_dataloader, val_evaluator=dict(type='VISMetric'),
               val_cfg=dict(type='VideoValLoop'), test_dataloader=None)
    metrics = build_runner(cfg).val()
    stats = evaluate_results(tmp_path / 'r.json', data / 'valid.json').stats
    assert 0 < stats['AP'] < 1
    assert metrics == {f'vis/segm_{name}': value for name, value in stats.items()}


def test_eval_counts_the_classes_that_the_config_names(data, tool, tmp_path, capsys):
    options = '--cfg-options', 'test_dataloader.dataset.classes=square,bar'
    tool('--out', 'r.json', '--eval', 'segm', *options)  # the model has a third class: no category, no entry
    printed = capsys.readouterr().out
    assert '3 classes: the last 1 have no data' in printed
    assert {entry['category_id'] for entry in json.loads((tmp_path / 'r.json').read_text())} == {3, 7}
    evaluator = Evaluator(tmp_path / 'r.json', data / 'valid.json', category_ids=[3, 7])
    table = evaluator.evaluate().table()
    assert table in printed and 'plate' not in table and evaluator.evaluate().stats['AP'] > 0
    tool('--out', 'r.json', '--load_result', *options, checkpoint='gone.pth')
    assert table in capsys.readouterr().out
    cfg = load_config(str(data / 'toy.py'), {'test_dataloader.dataset.classes': ['square', 'bar']})
    cfg.update(work_dir='work', val_dataloader=cfg.test_dataloader, val_evaluator=dict(type='VISMetric'),
               val_cfg=dict(type='VideoValLoop'), test_dataloader=None)
    assert build_runner(cfg).val() == {f'vis/segm_{name}': value for name, value in evaluator.evaluate().stats.items()}


@pytest.mark.parametrize('options, sentence', [
    (['model.num_classes=2'], 'valid.json has 3 categories, but the model tells only 2 classes apart'),
    (['test_dataloader.batch_size=2'], 'test_dataloader.batch_size is 2, but videos are run one after another')])
def test_what_cannot_be_run_is_said_before(tool, options, sentence):
    with pytest.raises(InputError, match=sentence):
        tool('--out', 'r.json', '--cfg-options', *options)


def test_the_checkpoint_of_another_model_is_refused_unless_it_is_asked_for(tool, tmp_path, expected):
    torch.save({'state_dict': {'other': torch.ones(3), 'gain': torch.ones(2)}}, tmp_path / 'other.pth')
    with pytest.raises(InputError, match='1 of the 1 tensors of ToyTracker are not in .*other.pth'):
        tool('--out', 'r.json', checkpoint=tmp_path / 'other.pth')
    tool('--out', 'r.json', '--load-anyway', '--cfg-options', 'test_dataloader.num_workers=0', checkpoint=tmp_path / 'other.pth')
    assert (tmp_path / 'r.json').read_bytes() == expected


def test_load_result_does_not_run_the_model(tool, tmp_path, capsys):
    tool('--out', 'x.pkl', '--eval', 'segm')
    table = capsys.readouterr().out
    table = table[table.index('AP '):]
    tool('--out', 'x.pkl', '--eval', 'segm', '--load_result', checkpoint='gone.pth')
    assert capsys.readouterr().out == table
    (tmp_path / 'x.pkl.json').unlink()  # the pickle alone, as from an original tool; the toy's scores follow its rule
    tool('--out', 'x.pkl', '--load_result', checkpoint='gone.pth')
    assert capsys.readouterr().out == table
    with pytest.raises(FileNotFoundError, match='no results file y.json'):
        tool('--out', 'y.json', '--load_result')


def test_without_annotations_there_is_a_sentence_instead_of_a_table(data, tool, tmp_path, expected, capsys):
    root = tmp_path / 'data'
    shutil.copytree(data, root)
    edit_json(root / 'valid.json', lambda content: content.pop('annotations'))
    tool('--out', 'r.json', '--eval', 'segm', '--cfg-options', f'test_dataloader.dataset.data_root={root}')
    printed = capsys.readouterr().out
    assert 'has no annotations' in printed and 'AP50' not in printed
    assert (tmp_path / 'r.json').read_bytes() == expected


@pytest.fixture
def stop_late(monkeypatch):
    """Call it: the run that comes is stopped in its third video."""
    from helpers.toy_tracker import ToyTracker
    finish = ToyTracker.finish

    def stop():
        count = [0]

        def fail_late(self, state):
            count[0] += 1
            if count[0] == 3:
                monkeypatch.setattr(ToyTracker, 'finish', finish)
                raise KeyboardInterrupt
            return finish(self, state)

        monkeypatch.setattr(ToyTracker, 'finish', fail_late)

    return stop


def test_a_killed_run_of_another_checkpoint_is_not_taken_up(tool, tmp_path, stop_late, expected):
    brighter = tmp_path / 'brighter.pth'
    torch.save({'state_dict': {'gain': torch.full((1,), 0.5)}}, brighter)
    stop_late()
    with pytest.raises(KeyboardInterrupt):
        tool('--out', 'r.json', checkpoint=brighter)
    assert (tmp_path / 'r.json.part.0').stat().st_size > 1000
    tool('--out', 'r.json')
    assert (tmp_path / 'r.json').read_bytes() == expected
    assert (tmp_path / 'r.json.aside.1').stat().st_size > 1000


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_a_run_told_to_stop_leaves_with_75_and_goes_on(tool, tmp_path, monkeypatch, expected, capsys, number):
    from helpers.toy_tracker import ToyTracker
    step, calls = ToyTracker.step, []

    def step_or_stop(self, *args):
        calls.append(args)
        if len(calls) == 12:
            os.kill(os.getpid(), number)
        return step(self, *args)

    monkeypatch.setattr(ToyTracker, 'step', step_or_stop)
    with pytest.raises(SystemExit) as stop:
        run_tool(lambda: tool('--out', 'r.json'))
    assert stop.value.code == 75 and capsys.readouterr().out.endswith('give the same command again to go on.\n')
    tool('--out', 'r.json')
    assert (tmp_path / 'r.json').read_bytes() == expected


def test_a_killed_run_is_known_by_what_is_in_its_files(data, tool, tmp_path, stop_late, expected, capsys):
    """Not by times and places; other frames under the same names are other frames."""
    stop_late()
    with pytest.raises(KeyboardInterrupt):
        tool('--out', 'r.json')
    stop_late()
    with pytest.raises(KeyboardInterrupt):
        tool('--out', 'r.json', '--precision', 'bf16')  # mistyped
    root = tmp_path / 'moved'
    shutil.copytree(data, root, copy_function=shutil.copyfile)  # with the times of now
    first_of_each = list(root.rglob('00000.jpg'))
    assert len(first_of_each) == 5
    capsys.readouterr()
    options = ['--cfg-options', f'test_dataloader.dataset.data_root={root}']
    stop_late()
    with pytest.raises(KeyboardInterrupt):
        tool('--out', 'r.json', *options, checkpoint=root / 'toy.pth')
    assert 'Going on with r.json: 2 of 5 videos are finished' in ''.join(capsys.readouterr())
    for frame in first_of_each:
        cv2.imwrite(str(frame), 255 - cv2.imread(str(frame)))
    tool('--out', 'r.json', *options)
    assert 'Going on' not in ''.join(capsys.readouterr())
    tool('--out', 'all.json', *options)
    assert (tmp_path / 'r.json').read_bytes() == (tmp_path / 'all.json').read_bytes() != expected
    aside, = tmp_path.glob('r.json.aside.*')  # of the mistyped one
    assert b'"precision": "bf16"' in aside.read_bytes().split(b'\n')[0]


@pytest.mark.parametrize('name', ['valid.json', 'link.json', 'toy.pth.json'])
def test_results_do_not_go_over_an_input(data, tool, tmp_path, name):
    (tmp_path / 'link.json').symlink_to(data / 'valid.json')
    shutil.copy(data / 'toy.pth', tmp_path / 'toy.pth.json')
    before = (data / 'valid.json').read_bytes()
    out = tmp_path / name if (tmp_path / name).exists() else data / name
    with pytest.raises(ValueError, match='is an input of this run'):
        tool('--out', str(out), checkpoint=tmp_path / 'toy.pth.json')
    assert (data / 'valid.json').read_bytes() == before
    assert not list(tmp_path.glob('*.part.*')) and not list(tmp_path.glob('*.lock'))


@pytest.mark.parametrize('args, checkpoint, sentence', [
    ([], 'toy.pth', 'Nothing is asked for'),
    (['--out', '/proc/nowhere/r.json'], 'toy.pth', '/proc/nowhere'),
    (['--out', 'r.json'], 'toy.py', 'toy.py is not a checkpoint'),
    (['--out', 'r.json', '--cfg-options', 'test_dataloader.dataset.ann_file=gone.json'], 'toy.pth', 'gone.json'),
    (['--out', 'r.json', '--load_result'], 'toy.pth', 'no results file r.json')])
def test_mistakes_cost_one_sentence(data, tool, args, checkpoint, sentence, capsys):
    with pytest.raises(SystemExit) as left:
        load_tool().run_tool(lambda: tool(*args, checkpoint=data / checkpoint))
    assert left.value.code == 1
    last, = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert sentence in last


def test_a_missing_checkpoint_is_told_without_a_traceback(python, data, tmp_path):
    finished = command(python, data, tmp_path, '--out', 'r.json', checkpoint='gone.pth')
    assert finished.returncode == 1 and finished.stdout == ''
    assert finished.stderr == 'error: Checkpoint gone.pth does not exist.\n'


def test_a_broken_frame_keeps_what_is_finished(data, tool, tmp_path, expected):
    root = tmp_path / 'data'
    shutil.copytree(data, root)
    config = root / 'toy.py'
    config.write_text(CONFIG.format(root=str(root)))
    frame = next(root.rglob('video_3/00004.jpg'))
    content = frame.read_bytes()
    frame.write_bytes(content[:300])
    with pytest.raises(ValueError, match='00004.jpg'):
        tool('--out', 'r.json', config=config)
    assert (tmp_path / 'r.json.part.0').read_bytes().count(b'{"end"') == 3
    frame.write_bytes(content)
    tool('--out', 'r.json', config=config)
    assert (tmp_path / 'r.json').read_bytes() == expected


def test_ap_of_images_is_cocos(tool, data, tmp_path, capsys):
    """Of COCO's own classes; for those of a video set its annotation file has no ground truth."""
    write_coco(tmp_path)
    config = tmp_path / 'images.py'
    dataset = dict(type='COCOClipsDataset', split='train', data_root=str(tmp_path), test_mode=True)
    toy = (data / 'toy.py').read_text() + "\nmodel['num_classes'] = 80\n"
    config.write_text(f"{toy}\ntest_dataloader['dataset'] = {dict(dataset, target='ytvis2019')!r}\n")
    with pytest.raises(ValueError, match='--eval: the data set has the classes of ytvis2019'):
        tool('--out', 'results.json', '--eval', 'segm', config=config)
    assert not list(tmp_path.glob('results.json*'))
    config.write_text(f"{toy}\ntest_dataloader['dataset'] = {dataset!r}\n")
    tool('--out', 'results.json', '--eval', 'segm', config=config)
    assert 'area up to 96 x 96' in capsys.readouterr().out


def test_a_damaged_frame_ends_the_run_which_may_go_on_with_it(data, tool, tmp_path, capsys):
    shutil.copytree(data, tmp_path / 'set')
    config = tmp_path / 'set' / 'toy.py'
    config.write_text(CONFIG.format(root=str(tmp_path / 'set')))
    frame = tmp_path / 'set' / 'valid' / 'JPEGImages' / 'video_3' / '00002.jpg'
    content = frame.read_bytes()
    frame.write_bytes(content[:-20] + b'\xff\xd9')
    with pytest.raises(ValueError, match=r'video 40: frame .*video_3/00002\.jpg is damaged \(Corrupt JPEG data'):
        tool('--out', 'r.json', config=config)
    capsys.readouterr()
    # a name of its own: two runs within a second would share their log
    tool('--out', 'r.json', '--use-damaged-frames', '--cfg-options', 'experiment_name=goes_on', config=config)
    said = ''.join(capsys.readouterr())
    assert 'damaged frames that were used: 1 (' in said and 'video_3/00002.jpg' in said
    assert '0 of 2 videos left' in said  # the three before it were not run again
    assert {entry['video_id'] for entry in json.loads(Path('r.json').read_text())} == {10, 20, 30, 40, 50}


@pytest.mark.parametrize('arguments, said', [
    (['x.py'], 'a config and a checkpoint are required, or --model NAME'),
    (['x.py', 'x.pth', '--model', 'videomt_sample'], '--model stands for a config and a checkpoint'),
    (['--model', 'videomt_sampel', '--out', 'r.json'], 'did you mean videomt_sample')])
def test_a_model_by_its_name_stands_for_both(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['test_video.py', *arguments])
    with pytest.raises((SystemExit, ValueError)) as error:
        load_tool().main()
    assert said in capsys.readouterr().err + str(error.value)


def test_the_config_and_checkpoint_of_a_name(monkeypatch):
    tool = load_tool()
    given = []
    monkeypatch.setattr(tool, 'test', lambda cfg, args: given.append((Path(cfg.filename).name, Path(args.checkpoint).name)))
    monkeypatch.setattr(sys, 'argv', ['test_video.py', '--model', 'videomt_sample', '--out', 'r.json'])
    tool.main()
    assert given == [('videomt_vit_tiny_sample.py', 'videomt_sample.pth')]
