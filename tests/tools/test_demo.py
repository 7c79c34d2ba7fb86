"""tools/demo.py: sources in, overlay video and results file out, whatever happens in between."""
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.full_disk import files_end_at
from helpers.tiny_videomt import tiny_config, tiny_model
from pycocotools.coco import COCO

from mmvis.apis import VISPredictor
from mmvis.cli import run_tool
from mmvis.errors import InputError, InputFileError
from mmvis.evaluation import ResultsWriter
from mmvis.structures import decode_rle
from mmvis.visualization import VideoFile

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
custom_imports = dict(imports=['helpers.at_end_tracker'])
default_scope = 'mmvis'
model = dict(type='ToyTracker', num_classes=25)
test_dataloader = dict(dataset=dict(type='OVISDataset', split='valid', test_mode=True,
                                    pipeline=[dict(type='ClipResize', scale=(40, 24), rule='mmcv')]))
"""
SIZE, NUM_FRAMES = (48, 64), 7


def noise(number):
    return np.random.default_rng(number).integers(0, 255, (*SIZE, 3), np.uint8)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The tool as a module; called, it runs in this process, in an empty folder, with a toy that finds three tracks."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'toy.py').write_text(CONFIG)
    torch.save({'state_dict': {'gain': torch.ones(1)}}, tmp_path / 'toy.pth')
    spec = importlib.util.spec_from_file_location('demo_tool', ROOT / 'tools' / 'demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'has_display', lambda: False)

    def run(source, *args, model=('--config', 'toy.py', '--checkpoint', 'toy.pth')):
        monkeypatch.setattr(sys, 'argv', ['demo.py', str(source), *model, *map(str, args)])
        module.main()

    run.module = module
    return run


@pytest.fixture
def folder(tmp_path):
    for number in range(NUM_FRAMES):
        path = tmp_path / 'frames' / f'frame{number + 7}.png'  # 7 to 13: 10 comes after 9
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), noise(number))
    return path.parent


def check_files(results='output/demo/results.json', overlay='output/demo/overlay.mp4', num_frames=NUM_FRAMES):
    entries = json.loads(Path(results).read_text())
    assert len(entries) == 3 and {entry['category_id'] for entry in entries} == {1, 2, 3}
    for entry in entries:
        assert entry['video_id'] == 1 and len(entry['segmentations']) == num_frames
        assert decode_rle(entry['segmentations'][0]).shape == SIZE
    assert not [name for name in os.listdir(Path(results).parent) if '.part' in name or '.tmp' in name]
    if overlay:
        reader = cv2.VideoCapture(str(overlay))
        frames = []
        while (read := reader.read())[0]:
            frames.append(read[1])
        assert len(frames) == num_frames and frames[0].shape == (*SIZE, 3)
        return reader.get(cv2.CAP_PROP_FPS), frames
    return entries


def test_a_folder_without_any_option(tool, folder, capsys):
    tool(folder)
    fps, frames = check_files()
    assert fps == 10
    printed = capsys.readouterr().out
    assert 'ToyTracker on cpu: ' in printed and '7 frames, 3 tracks' in printed
    assert 'output/demo/results.json, output/demo/overlay.mp4' in printed


def test_a_video_file_keeps_its_frame_rate_and_the_files_go_where_they_are_asked_for(tool, tmp_path, capsys):
    with VideoFile(tmp_path / 'in.mp4', fps=4) as video:
        for number in range(NUM_FRAMES):
            video.add(noise(number))
    tool('in.mp4', '--out', 'r.json', '--save_vis', 'deep/o.mp4', '--thresh', '2')
    assert re.search(r'in\.mp4 \((PyAV|OpenCV)\)\n', capsys.readouterr().out)
    fps, frames = check_files('r.json', 'deep/o.mp4')
    assert fps == 4
    assert not Path('output').exists()
    tool('in.mp4', '--out', 'r.json', '--save_vis', 'deep/o.mp4', '--max-frames', 3, '--fps', 8)
    fps, drawn = check_files('r.json', 'deep/o.mp4', num_frames=3)
    assert fps == 8
    assert abs(drawn[0].astype(int) - frames[0]).mean() > 1  # above the threshold nothing was drawn


def test_a_model_that_answers_late(tool, folder, capsys):
    tool(folder, '--out', 'a.json')
    _, expected = check_files('a.json')
    tool(folder, '--out', 'b.json', '--cfg-options', 'model.lag=3')
    _, frames = check_files('b.json')
    assert Path('a.json').read_bytes() == Path('b.json').read_bytes()
    assert all((frame == other).all() for frame, other in zip(frames, expected))  # each over its own picture
    assert 'ToyTracker on cpu, 3 frames behind' in capsys.readouterr().out


def test_a_model_that_answers_at_the_end(tool, folder, capsys):
    """The pictures are read again for the overlays; live, each frame is shown at once."""
    tool(folder, '--out', 'a.json')
    _, expected = check_files('a.json')
    for name, option in ('b', []), ('c', ['--live']):
        tool(folder, '--out', f'{name}.json', '--cfg-options', 'model.type=AtEndTracker', *option)
        _, frames = check_files(f'{name}.json')
        assert Path('a.json').read_bytes() == Path(f'{name}.json').read_bytes()
        assert all((frame == other).all() for frame, other in zip(frames, expected))
    said = capsys.readouterr().out
    assert 'AtEndTracker on cpu, results at the end' in said and 'AtEndTracker on cpu: ' in said


def test_ctrl_c_ends_the_run_with_whole_files(tool, monkeypatch, capsys):
    def stream():
        for number in range(10 ** 6):
            if number == 4:
                os.kill(os.getpid(), signal.SIGINT)
            yield noise(number)

    class Endless:
        name, fps, num_frames, live, decoder = 'endless', None, None, True, None

        def __iter__(self):
            return stream()

    monkeypatch.setattr(tool.module, 'open_source', lambda *args: Endless())
    tool('endless', '--cfg-options', 'model.lag=2')
    check_files(num_frames=5)
    assert '5 frames, 3 tracks, stopped' in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize('damage, said', [
    (lambda path: path.write_bytes(path.read_bytes()[:500]), 'frame11.png is cut short'),
    (lambda path: cv2.imwrite(str(path), noise(0)[:30]), 'Frame 4 has 64 x 30 pixels, but the video began')])
def test_what_comes_before_a_fault_is_kept(tool, folder, damage, said, capsys):
    damage(folder / 'frame11.png')
    with pytest.raises(SystemExit) as exit:
        run_tool(lambda: tool(folder, '--cfg-options', 'model.lag=2'))
    assert exit.value.code == 1 and said in capsys.readouterr().err
    check_files(num_frames=4)


def test_a_fault_in_the_first_frame_leaves_nothing(tool, folder):
    (folder / 'frame7.png').write_bytes(b'x')
    with pytest.raises(ValueError, match='frame7.png'):
        tool(folder)
    assert not list(Path().rglob('results.json*')) and not list(Path().rglob('*.mp4'))


@pytest.mark.parametrize('args, said', [
    (['gone.mp4'], 'no file or folder gone.mp4'), (['frames', '--save_vis', 'x.avi'], 'ending in .mp4, not x.avi'),
    (['frames', '--max-frames', '0'], "'0' is not a whole number of at least 1"),
    (['frames', '--out', '.'], 'is a folder'), (['frames', '--device', 'cuda:99'], 'Device cuda:99 cannot be used'),
    (['frames', '--fps', '0'], "'0' is not a finite number of at least 0.01"),
    (['frames', '--thresh', 'nan'], "'nan' is not a finite number")])
def test_bad_arguments_are_one_sentence(tool, folder, args, said, capsys):
    with pytest.raises(SystemExit) as exit:
        run_tool(lambda: tool(*args))
    error = capsys.readouterr().err
    assert exit.value.code == 1 and said in error and error.count('\n') == 1


def test_without_a_model_that_of_the_sample_set_runs(tool, folder, monkeypatch, capsys):
    calls = []

    class Stand(VISPredictor):
        def __init__(self, config, checkpoint, *args, **kwargs):
            calls.append((Path(config.filename).name, checkpoint))
            super().__init__('toy.py', 'toy.pth', *args, **kwargs)

    monkeypatch.setattr('mmvis.apis.VISPredictor', Stand)
    tool(folder, model=())
    assert 'knows the shapes of the sample set only' in capsys.readouterr().out
    assert calls == [('condinst_iai_r18_sample.py', str(ROOT / 'models' / 'condinst_iai_sample.pth'))]
    with pytest.raises(ValueError, match='together, or --model'):
        tool(folder, model=('--config', 'toy.py'))


def test_show_without_a_display_writes(tool, folder, capsys):
    tool(folder, '--show')
    check_files()
    assert 'There is no display' in capsys.readouterr().out


def test_q_in_the_window_ends_the_run(tool, folder, monkeypatch):
    shown = []
    monkeypatch.setattr(tool.module, 'has_display', lambda: True)
    monkeypatch.setattr(cv2, 'imshow', lambda title, picture: shown.append(picture.shape))
    monkeypatch.setattr(cv2, 'waitKey', lambda delay: ord('q') if len(shown) == 3 else -1)
    tool(folder, '--show')
    assert shown == [(*SIZE, 3)] * 3
    check_files(overlay=None, num_frames=3)
    assert not Path('output/demo/overlay.mp4').exists()


def test_a_damaged_picture_ends_the_run_or_is_used_and_counted(tool, tmp_path, capsys):
    (tmp_path / 'frames').mkdir()
    for number in range(3):
        data = cv2.imencode('.jpg', noise(number))[1].tobytes()
        middle = len(data) // 2
        (tmp_path / 'frames' / f'{number}.jpg').write_bytes(
            data if number != 1 else data[:middle] + bytes(600) + data[middle + 600:])
    with pytest.raises(InputError, match=r'frames/1\.jpg is damaged \(Corrupt JPEG data'):
        tool('frames')
    check_files(num_frames=1)
    capsys.readouterr()
    tool('frames', '--use-damaged-frames')
    check_files(num_frames=3)
    assert 'Damaged frames that were used: 1 (frames/1.jpg is damaged (Corrupt JPEG data' in capsys.readouterr().out


def md5(path):
    return hashlib.md5(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize('args, said', [
    (['in.mp4', '--save_vis', 'in.mp4'], 'in.mp4 is an input of this run'),
    (['in.mp4', '--out', './in.mp4'], 'in.mp4 is an input of this run'),
    (['link.mp4', '--save_vis', 'in.mp4'], 'in.mp4 is an input of this run'),
    (['in.mp4', '--out', 'toy.pth'], 'toy.pth is an input of this run'),
    (['in.mp4', '--out', 'toy.py'], 'toy.py is an input of this run'),
    (['frames', '--out', 'frames/frame9.png'], 'frame9.png is an input of this run'),
    (['in.mp4', '--out', 'x.mp4', '--save_vis', 'x.mp4'], 'given for two outputs'),
    (['in.mp4', '--out', 'in.mp4/r.json'], 'in.mp4 is not a folder'),
    (['in.mp4', '--out', '/proc/r.json'], 'no file can be made in /proc'),
    (['in.mp4', '--save_vis', 'dir.mp4'], 'dir.mp4 cannot be written: it is a folder')])
def test_what_the_run_reads_and_what_cannot_be_written_is_told_before_it(tool, folder, args, said, monkeypatch):
    with VideoFile('in.mp4') as video:
        video.add(noise(0))
    os.symlink('in.mp4', 'link.mp4')
    os.mkdir('dir.mp4')
    before = {path: md5(path) for path in Path().rglob('*') if path.is_file()}
    monkeypatch.setattr('mmvis.apis.VISPredictor', lambda *_, **__: pytest.fail('the model was built'))
    with pytest.raises(InputError, match=said):
        tool(*args)
    assert {path: md5(path) for path in Path().rglob('*') if path.is_file()} == before


def test_an_overlay_that_cannot_be_written_costs_no_results(tool, folder, capsys):
    with files_end_at(18_500):
        with pytest.raises(InputFileError, match='^o.mp4 cannot be written: File too large.$'):
            tool(folder, '--out', 'r.json', '--save_vis', 'o.mp4', '--thresh', '2')  # bare noise is a larger file
    check_files('r.json', overlay=None)
    assert not Path('o.mp4').exists() and capsys.readouterr().out.splitlines()[-1] == 'r.json'
    for path in folder.iterdir():
        cv2.imwrite(str(path), np.zeros((200, 9000, 3), np.uint8))  # wider than the codec takes
    with pytest.raises(InputFileError, match='^o.mp4 cannot be written: OpenCV makes no whole video of 9000 x 200'):
        tool(folder, '--out', 'r.json', '--save_vis', 'o.mp4')
    assert len(json.loads(Path('r.json').read_text())[0]['segmentations']) == NUM_FRAMES


def test_results_that_cannot_be_written_cost_no_overlay(tool, folder, monkeypatch):
    def full(self, frame):
        raise InputFileError('r.json cannot be written: No space left on device.')

    monkeypatch.setattr(ResultsWriter, 'add', lambda self, frame: full(self, frame) if frame.frame_idx > 2
                        else None)
    with pytest.raises(InputFileError, match='r.json cannot be written'):
        tool(folder, '--out', 'r.json', '--save_vis', 'o.mp4')
    assert cv2.VideoCapture('o.mp4').get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_a_bug_in_the_middle_keeps_what_was_done_and_its_traceback(tool, folder, monkeypatch):
    step = VISPredictor.step
    monkeypatch.setattr(VISPredictor, 'step', lambda self, image: step(self, image) if self.frame_idx < 4
                        else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tool(folder)
    check_files(num_frames=4)
    monkeypatch.setattr(VISPredictor, 'finish', lambda self: [][0])
    with pytest.raises(ZeroDivisionError):  # the first error is told
        tool(folder, '--out', 'r.json', '--save_vis', 'o.mp4')
    assert cv2.VideoCapture('o.mp4').get(cv2.CAP_PROP_FRAME_COUNT) == 4


def test_many_sources_have_an_output_each_and_a_broken_one_ends_nothing(tool, folder, tmp_path, capsys):
    """A folder of videos, a glob of videos and a folder of pictures; two videos of one name; one that is none."""
    for place in ('clips', 'more'):
        (tmp_path / place).mkdir()
        with VideoFile(tmp_path / place / 'a.mp4', fps=4) as video:
            for number in range(NUM_FRAMES):
                video.add(noise(number))
    (tmp_path / 'clips' / 'b.mp4').write_bytes(b'no video')
    with pytest.raises(InputError, match='1 of 4 sources have failed'):
        tool('clips', 'more/*.mp4', folder, '--out', 'out', '--thresh', '0.2')
    for name in ('a', 'a_2', 'frames'):
        check_files(f'out/{name}.json', f'out/{name}.mp4')
    assert not [name for name in os.listdir('out') if name.startswith('b')]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines[-4:]] == [['7', '3'], ['0', '0'], ['7', '3'], ['7', '3']]
    assert 'none: ' in lines[-3] and 'b.mp4' in lines[-3]
    assert 'out/a.json, out/a.mp4 (instances with a score of 0.2 or more)' in lines


def test_an_overlay_never_replaces_one_of_the_sources(tool, tmp_path):
    for name in 'ab':
        with VideoFile(tmp_path / f'{name}.mp4') as video:
            video.add(noise(0))
    before = (tmp_path / 'b.mp4').read_bytes()
    with pytest.raises(InputError, match='2 of 2 sources have failed'):
        tool('a.mp4', 'b.mp4', '--out', '.')
    assert (tmp_path / 'b.mp4').read_bytes() == before


IMAGE_CONFIG = f"""
default_scope = 'mmvis'
model = {tiny_config('EoMT', num_classes=80, num_instances=5)!r}
test_dataloader = dict(dataset=dict(type='COCOClipsDataset', split='valid', test_mode=True,
                                    pipeline=[dict(type='ClipResize', scale=(64, 64), rule='fit')]))
"""
IMAGE_MODEL = ('--config', 'eomt.py', '--checkpoint', 'eomt.pth')


@pytest.fixture
def images(tmp_path):
    """Three pictures of two sizes, named as COCO names them, and an EoMT with random weights."""
    (tmp_path / 'eomt.py').write_text(IMAGE_CONFIG)
    torch.save({'state_dict': tiny_model('EoMT', num_classes=80).state_dict()}, tmp_path / 'eomt.pth')
    (tmp_path / 'images').mkdir()
    for number, size in ((9, (40, 60)), (139, (64, 32)), (20, (40, 60))):
        draw = np.random.default_rng(number)
        cv2.imwrite(str(tmp_path / 'images' / f'{number:012}.png'),
                    cv2.resize(draw.integers(0, 255, (4, 5, 3), np.uint8), size[::-1]))
    return tmp_path / 'images'


def test_a_folder_of_images_of_several_sizes(tool, images, capsys):
    """Every image has the results that it has alone; a list that pycocotools takes, and an overlay each."""
    tool('images', '--thresh', 0, model=IMAGE_MODEL)
    found = json.loads(Path('output/demo/results.json').read_text())
    sizes = {9: [40, 60], 20: [40, 60], 139: [64, 32]}
    assert list(dict.fromkeys(entry['image_id'] for entry in found)) == [9, 20, 139]
    truth = COCO()
    truth.dataset = dict(images=[dict(id=i, height=h, width=w) for i, (h, w) in sizes.items()], annotations=[],
                         categories=[dict(id=i) for i in range(1, 91)])
    with contextlib.redirect_stdout(None):
        truth.createIndex()
        assert len(truth.loadRes('output/demo/results.json').anns) == len(found) > 5
    for entry in found:
        assert entry['segmentation']['size'] == sizes[entry['image_id']] and 1 <= entry['category_id'] <= 90
        assert entry['file_name'] == f'{entry["image_id"]:012}.png' and 0 < entry['score'] < 1
        rows, columns = decode_rle(entry['segmentation']).nonzero()
        assert entry['bbox'] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert sorted(os.listdir('output/demo/overlay')) == [f'{i:012}.png' for i in sizes]
    for name in os.listdir(images):
        drawn, picture = (cv2.imread(str(folder / name)) for folder in (Path('output/demo/overlay'), images))
        assert drawn.shape == picture.shape and abs(drawn.astype(int) - picture).max() > 50
    said = capsys.readouterr().out
    assert f'3 images, {len(found)} instances' in said and 'output/demo/overlay (instances with a score' in said
    for image_id in sizes:
        tool(f'images/{image_id:012}.png', '--out', 'one.json', model=IMAGE_MODEL)
        assert json.loads(Path('one.json').read_text()) == [e for e in found if e['image_id'] == image_id]


def test_images_with_other_names_are_numbered_and_a_broken_one_is_passed_over(tool, images, capsys):
    for number, path in enumerate(sorted(images.iterdir())):
        path.rename(images / f'picture{number + 8}.png')              # 8, 9, 10
    (images / 'picture9.png').write_bytes(b'x')
    with pytest.raises(InputError, match='1 of 3 pictures of images cannot be read'):
        tool('images', '--out', 'r.json', '--save_vis', 'drawn', model=IMAGE_MODEL)
    found = json.loads(Path('r.json').read_text())
    assert {(entry['image_id'], entry['file_name']) for entry in found} == {(1, 'picture8.png'), (3, 'picture10.png')}
    assert sorted(os.listdir('drawn')) == ['picture10.png', 'picture8.png']
    assert 'picture9.png' in capsys.readouterr().out
    tool('images', '--max-frames', 1, '--out', 'first.json', '--save_vis', 'first', model=IMAGE_MODEL)
    assert os.listdir('first') == ['picture8.png'] and len(json.loads(Path('first.json').read_text())) > 0


def test_outputs_of_images_that_cannot_be(tool, images):
    before = {path: md5(path) for path in images.iterdir()}
    for args, said in ((['images', '--save_vis', 'images'], 'is an input of this run'),
                       (['images', '--save_vis', 'o.mp4'], 'a folder for pictures that are no video, not o.mp4'),
                       (['images', '--save_vis', 'eomt.py'], 'eomt.py is not a folder'),
                       (['images', '--out', 'images/000000000009.png'], 'is an input of this run')):
        with pytest.raises(InputError, match=said):
            tool(*args, model=IMAGE_MODEL)
    assert {path: md5(path) for path in images.iterdir()} == before
    (images.parent / 'more').mkdir()
    cv2.imwrite('more/x.png', noise(0))
    before['more/x.png'] = md5('more/x.png')
    with pytest.raises(InputError, match='2 of 2 sources have failed'):       # each would draw into its own folder
        tool('images', 'more', '--save_vis', '.', '--out', 'out', model=IMAGE_MODEL)
    tool('images', 'more', '--out', 'out', '--save_vis', 'drawn', model=IMAGE_MODEL)
    assert os.listdir('drawn/more') == ['x.png'] and len(os.listdir('drawn/images')) == 3
    assert {entry['image_id'] for entry in json.loads(Path('out/more.json').read_text())} == {1}
    assert {path: md5(path) for path in before} == before


def test_a_model_by_its_name(tool, folder, capsys):
    tool(folder, '--model', 'videomt_sample', '--max-frames', '2', '--device', 'cpu', model=())
    assert 'VidEoMT on cpu' in capsys.readouterr().out and json.loads(Path('output/demo/results.json').read_text())


@pytest.mark.parametrize('options, said', [
    (['--model', 'videomt_sampel'], "no model 'videomt_sampel'; did you mean videomt_sample"),
    (['--model', 'videomt_sample', '--config', 'x.py'], '--model stands for a config and a checkpoint'),
    (['--model', './nowhere.safetensors'], 'There is no published model ./nowhere.safetensors'),
    (['--model', 'videomt_vit_large_ovis'], 'has no address that it could be fetched from .* to be put at ')])
def test_models_that_there_are_not(tool, folder, options, said):
    with pytest.raises(InputError, match=said):
        tool(folder, *options, model=())
