"""The predictor gives what the test loop gives, frame by frame, and keeps nothing."""
import copy
import pickle
import threading

import helpers.at_end_tracker  # noqa: F401
import helpers.burst_tracker  # noqa: F401  (registers the toys)
import numpy as np
import pytest
import torch
from helpers.resident import needs_proc, resident_kib
from helpers.tiny_masktrack import NUM_CLASSES, tiny_config, tiny_model
from helpers.tiny_videomt import tiny_config as tiny_eomt_config
from helpers.tiny_videomt import tiny_model as tiny_eomt
from helpers.tiny_vis import make_tiny_dataset
from mmengine.config import Config

from mmvis.apis import VISPredictor
from mmvis.converters import load_checkpoint
from mmvis.datasets.categories import OVIS
from mmvis.engine import build_runner
from mmvis.errors import InputError
from mmvis.models.layers.inference import optimize_for_inference

NUM_FRAMES = 10
CATEGORIES = [{'id': 3 * index + 2, 'name': f'class {index}'} for index in range(NUM_CLASSES)]
MODELS = {
    'at once': dict(type='ToyTracker', num_classes=NUM_CLASSES),
    'three late': dict(type='ToyTracker', num_classes=NUM_CLASSES, lag=3),
    'at the end': dict(type='AtEndTracker', num_classes=NUM_CLASSES),
    'later than the video': dict(type='ToyTracker', num_classes=NUM_CLASSES, lag=40),
    'bursts': dict(type='BurstTracker', num_classes=NUM_CLASSES, window=4),
    'MaskTrackRCNN': tiny_config()}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A set of one video, and checkpoints of the toys and of the tiny MaskTrackRCNN."""
    root = tmp_path_factory.mktemp('data')
    make_tiny_dataset(root, 1, NUM_FRAMES, size=(70, 100), split='valid', categories=CATEGORIES)
    torch.save({'state_dict': {'gain': torch.ones(1)}}, root / 'toy.pth')
    torch.save({'state_dict': tiny_model().state_dict()}, root / 'tiny.pth')
    return root


def make_config(data, model):
    dataset = dict(type='VISDataset', split='valid', ann_file=str(data / 'valid.json'), box_mode='inclusive',
                   test_mode=True, pipeline=[dict(type='ClipResize', scale=(80, 64), rule='mmcv')])
    return Config(dict(
        default_scope='mmvis', model=model, test_cfg=dict(type='VideoTestLoop'), test_evaluator=[],
        test_dataloader=dict(batch_size=1, num_workers=0, sampler=dict(type='VideoSampler'),
                             collate_fn=dict(type='clip_collate'), dataset=dataset)))


def make_predictor(data, name='at once', **options):
    return VISPredictor(make_config(data, MODELS[name]), checkpoint_of(data, name), device='cpu', **options)


def checkpoint_of(data, name):
    return data / ('tiny.pth' if name == 'MaskTrackRCNN' else 'toy.pth')


def folder_of(data):
    return data / 'valid' / 'JPEGImages' / 'video_0'


def noise(number, size=(70, 100)):
    return np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)


class Keep:
    """A sink of the test loop."""

    def start(self, video):
        self.frames, self.scores = [], None

    def add(self, frame):
        self.frames.append(frame)

    def end(self, scores):
        self.scores = list(scores)


def assert_equal(frames, expected):
    assert [frame.frame_idx for frame in frames] == [frame.frame_idx for frame in expected]
    for frame, other in zip(frames, expected):
        for name in ('track_ids', 'labels', 'scores', 'boxes'):
            np.testing.assert_array_equal(getattr(frame, name), getattr(other, name))
        assert frame.masks == other.masks


def assert_verdicts(tracks, frames, entries):
    """One a track that was seen, with the best of its entries."""
    seen = {}
    for frame in frames:
        for track_id, rle in zip(frame.track_ids.tolist(), frame.masks):
            if rle is not None:
                seen.setdefault(track_id, []).append(frame.frame_idx)
    scored = {entry.track_id for entry in entries} & set(seen)
    assert {track.track_id for track in tracks} == scored and len(tracks) == len(scored)
    for track in tracks:
        frames_of_it = seen[track.track_id]
        assert (track.first_frame, track.last_frame, track.num_frames) == (frames_of_it[0], frames_of_it[-1],
                                                                           len(frames_of_it))
        best = max((entry for entry in entries if entry.track_id == track.track_id), key=lambda entry: entry.score)
        assert (track.label, track.score) == (best.label, pytest.approx(best.score))
    assert [track.score for track in tracks] == sorted((track.score for track in tracks), reverse=True)


@pytest.mark.parametrize('name', MODELS)
def test_a_folder_gives_what_the_test_loop_gives(data, tmp_path, name):
    predictor = make_predictor(data, name)
    config = make_config(data, MODELS[name])
    config.update(work_dir=str(tmp_path), experiment_name=tmp_path.name)
    runner = build_runner(config)
    load_checkpoint(runner.model, checkpoint_of(data, name))
    optimize_for_inference(runner.model)
    keep = Keep()
    runner.test_loop.sinks = [keep]
    runner.test()

    results = list(predictor.run(folder_of(data)))
    assert [frame_idx for frame_idx, _ in results] == list(range(NUM_FRAMES))
    assert_equal([frame for _, frame in results], keep.frames)
    assert predictor.entries == keep.scores and len(keep.scores) > 2
    assert_verdicts(predictor.tracks, keep.frames, keep.scores)
    assert any(rle for frame in keep.frames for rle in frame.masks)


@pytest.mark.parametrize('name, lag', [('at once', 0), ('three late', 3), ('bursts', 3)])
def test_step_is_late_by_lag_frames_and_finish_gives_the_rest(data, name, lag):
    predictor = make_predictor(data, name)
    assert predictor.lag == lag
    for _ in range(2):  # finish begins a new video
        steps = [predictor.step(noise(i)) for i in range(9)]
        assert [frame and frame.frame_idx for frame in steps] == [None] * lag + list(range(9 - lag))
        rest, tracks = predictor.finish()
        assert not isinstance(rest, list)  # one by one
        assert [frame.frame_idx for frame in rest] == list(range(9 - lag, 9))
        assert len(tracks) == 3 and predictor.entries == tracks
        assert [(track.first_frame, track.last_frame, track.num_frames) for track in predictor.tracks] == [(0, 8, 9)] * 3
    rest, tracks = predictor.finish()
    assert list(rest) == [] == tracks


def test_reset_forgets_the_video(data):
    predictor = make_predictor(data, 'three late')
    expected = list(predictor.run(noise(i) for i in range(5)))
    predictor.step(noise(50, (32, 32)))
    predictor.reset()
    assert predictor.video is None
    steps = [predictor.step(noise(i)) for i in range(5)]
    assert predictor.video.ori_shape == (70, 100) and predictor.video.num_frames is None
    assert_equal([*steps[3:], *predictor.finish()[0]], [frame for _, frame in expected])


def test_a_copy_is_another_video_on_the_same_weights_in_a_thread_of_its_own(data):
    first = make_predictor(data, 'MaskTrackRCNN')
    expected = [frame for _, frame in first.run(noise(i) for i in range(4))]
    second = copy.copy(first)
    first.reset(), second.reset()
    assert second.model is first.model
    one, two = [], []
    for i in range(4):
        one.append(first.step(noise(i)))
        thread = threading.Thread(target=lambda: two.append(second.step(noise(i))))
        thread.start()
        thread.join()
    assert_equal(one, expected)
    assert_equal(two, expected)


@pytest.mark.parametrize('call', ['step', 'finish', 'reset', 'run'])
def test_a_call_while_another_thread_is_at_work_is_refused_and_changes_nothing(data, call):
    predictor = make_predictor(data, 'three late')
    expected = [*(predictor.step(noise(number)) for number in range(5)), *predictor.finish()[0]]
    started, go_on, results = threading.Event(), threading.Event(), []
    step = predictor.model.step

    def slow_step(*args):
        started.set()
        assert go_on.wait(10)
        return step(*args)

    predictor.model.step = slow_step
    work = threading.Thread(target=lambda: results.extend(predictor.step(noise(number)) for number in range(5)))
    work.start()
    assert started.wait(10)
    calls = dict(step=lambda: predictor.step(noise(9)), finish=predictor.finish, reset=predictor.reset,
                 run=lambda: list(predictor.run([noise(9)])))
    with pytest.raises(RuntimeError, match='at work in another thread'):
        calls[call]()
    twin = copy.copy(predictor)  # is free
    twin.reset()
    go_on.set()
    work.join()
    assert_equal([frame for frame in [*results, *predictor.finish()[0]] if frame],
                 [frame for frame in expected if frame])
    assert predictor.step(noise(0)) is None  # the turn was given back


@pytest.mark.parametrize('between', ['step', 'reset', 'finish', 'run'])
@pytest.mark.parametrize('at', [0, 3])
def test_a_call_between_the_frames_of_run_ends_it(data, between, at):
    """Two videos that take turns would be taken for one; ``at`` the first frame or after the last one."""
    predictor = make_predictor(data)
    run = predictor.run([noise(number) for number in range(4)])
    calls = dict(step=lambda: predictor.step(noise(9)), reset=predictor.reset, finish=predictor.finish,
                 run=lambda: next(predictor.run([noise(9)] * 2)))
    for _ in range(at + 1):
        next(run)
    calls[between]()
    with pytest.raises(RuntimeError, match='between two frames of run'):
        next(run)


@pytest.mark.parametrize('clone', [copy.deepcopy, lambda predictor: pickle.loads(pickle.dumps(predictor))])
def test_a_clone_is_free(data, clone):
    predictor = make_predictor(data)
    assert_equal([clone(predictor).step(noise(0))], [predictor.step(noise(0))])


@pytest.mark.parametrize('frame, said', [
    (noise(1).astype(np.float32), r'not float32 \[70, 100, 3\]'), (noise(1)[..., 0], r'not uint8 \[70, 100\]'),
    (noise(1).repeat(2, axis=2), r'not uint8 \[70, 100, 6\]'), (noise(1)[:0], r'not uint8 \[0, 100, 3\]'),
    (None, 'not NoneType'), ('a.jpg', 'not str'),
    (noise(1, (40, 60)), '60 x 40 pixels, but the video began with 100 x 70')])
def test_a_frame_that_does_not_fit_is_said_and_the_video_goes_on(data, frame, said):
    predictor = make_predictor(data, 'three late')
    expected = [result for _, result in predictor.run(noise(i) for i in range(6))]
    steps = [predictor.step(noise(i)) for i in range(2)]
    with pytest.raises(ValueError, match=f'Frame 2 .*{said}'):
        predictor.step(frame)
    steps += [predictor.step(noise(i)) for i in range(2, 6)]
    assert_equal([*filter(None, steps), *predictor.finish()[0]], expected)


def test_views_of_arrays_are_frames_too(data):
    predictor = make_predictor(data)
    for view in (noise(3)[:, ::-1], noise(3)[..., ::-1], np.asfortranarray(noise(3))):
        predictor.reset()
        other = predictor.step(view)
        predictor.reset()
        assert_equal([other], [predictor.step(view.copy(order='C'))])


def test_score_thr_leaves_instances_out(data):
    everything = [frame for _, frame in make_predictor(data).run(folder_of(data))]
    thr = float(np.sort(np.concatenate([frame.scores for frame in everything]))[12])
    chosen = [frame for _, frame in make_predictor(data, score_thr=thr).run(folder_of(data))]
    for frame, other in zip(everything, chosen):
        rows = frame.scores >= thr
        np.testing.assert_array_equal(frame.track_ids[rows], other.track_ids)
        assert other.masks == [rle for rle, row in zip(frame.masks, rows) if row]
    assert 0 < sum(map(len, chosen)) < sum(map(len, everything))


def test_bad_arguments_are_said(data):
    with pytest.raises(FileNotFoundError, match='no config nowhere.py'):
        VISPredictor('nowhere.py', data / 'toy.pth')
    with pytest.raises(ValueError, match='no model or no test_dataloader'):
        VISPredictor(Config(dict(model=MODELS['at once'])), data / 'toy.pth')
    with pytest.raises(FileNotFoundError, match='gone.pth does not exist'):
        VISPredictor(make_config(data, MODELS['at once']), data / 'gone.pth')
    for device in ('cuda:77', 'abacus'):
        with pytest.raises(ValueError, match=f'Device {device} cannot be used here'):
            VISPredictor(make_config(data, MODELS['at once']), data / 'toy.pth', device=device)
    with pytest.raises(ValueError, match="not 'fp64'"):
        make_predictor(data, precision='fp64')
    predictor = make_predictor(data)
    with pytest.raises(FileNotFoundError, match='no file or folder gone.mp4'):
        predictor.run('gone.mp4')  # at once, not when the first frame is asked for


def test_classes_come_from_the_set_the_checkpoint_or_the_annotation_file(data, tmp_path):
    predictor = make_predictor(data)
    assert predictor.category_ids == (2, 5, 8, 11, 14) and predictor.classes[4] == 'class 4'
    meta = dict(dataset_meta=dict(classes=['a', 'b'], category_ids=[7, 9]))
    torch.save({'state_dict': {'gain': torch.ones(1)}, 'meta': meta}, tmp_path / 'x.pth')
    config = make_config(data, MODELS['at once'])
    predictor = VISPredictor(config, tmp_path / 'x.pth')
    assert (predictor.classes, predictor.category_ids) == (('a', 'b'), (7, 9))
    config.test_dataloader.dataset.type = 'OVISDataset'
    with pytest.raises(InputError, match='OVISDataset has 25 categories, but the model tells only 5 classes apart'):
        VISPredictor(config, tmp_path / 'x.pth')
    config.model.num_classes = 25
    assert VISPredictor(config, tmp_path / 'x.pth').classes[24] == 'Vehical'
    config.test_dataloader.dataset.update(type='VISDataset', ann_file='gone.json')
    assert VISPredictor(config, data / 'toy.pth').classes is None
    config.test_dataloader.dataset.type = 'SampleDataset'
    assert VISPredictor(config, data / 'toy.pth').category_ids == (3, 5, 8, 9, 14, 17, 20, 26)


@needs_proc
@pytest.mark.parametrize('name', ['three late', 'MaskTrackRCNN'])
def test_endless_input_takes_constant_memory(data, name):
    """1,100 frames out of 50 that come round again: memory and state after frame 100 stay."""
    torch.set_num_threads(1)
    options = {'model.tracker': dict(type='AssociationTracker', max_age=5)} if name == 'MaskTrackRCNN' else {}
    options['test_dataloader.dataset.pipeline'] = []
    predictor = make_predictor(data, name, cfg_options=options)
    resident, sizes = {}, {}

    def frames():
        for number in range(1101):
            if number in (100, 1100):
                resident[number] = resident_kib()
                state = predictor._run.state  # what grows with the tracks, the verdicts of MaskTrackRCNN, may do so
                sizes[number] = len(pickle.dumps((getattr(state, 'memory', state), predictor._final)))
            yield noise(number % 50, (32, 48))

    count = sum(1 for _ in predictor.run(frames()))
    assert count == 1101
    assert resident[1100] - resident[100] < 1000 * 0.5
    assert sizes[1100] <= sizes[100] * 1.2


def test_of_a_live_source_the_model_forgets(data):
    predictor = make_predictor(data, 'MaskTrackRCNN')
    predictor.reset(live=True)
    predictor.step(noise(0))
    assert predictor._run.state.memory.max_age == 300
    predictor.finish()
    predictor.reset()
    predictor.step(noise(0))
    assert predictor._run.state.memory.max_age is None


def test_what_chooses_at_the_end_reads_the_source_again(data):
    expected = list(make_predictor(data, 'at once').run([noise(i) for i in range(5)]))
    predictor = make_predictor(data, 'at the end')
    frames = [noise(i) for i in range(5)]
    results = list(predictor.run(frames))
    assert_equal([frame for _, frame in results], [frame for _, frame in expected])
    predictor.reset(again=frames)
    assert predictor.lag is None
    assert [predictor.step(frame) for frame in frames] == [None] * 5
    rest, _ = predictor.finish()
    predictor.reset(live=True)
    predictor.step(noise(9, (32, 32)))  # a new video does not disturb the frames of the last one
    assert predictor.lag == 0
    assert_equal(list(rest), [frame for _, frame in expected])
    with pytest.raises(InputError, match='can be read once only'):
        list(predictor.run(frame for frame in frames))


def test_images_have_any_sizes_and_instances_of_their_own(tmp_path):
    """A system that segments images: what it says of one does not depend on the others."""
    config, checkpoint = tmp_path / 'eomt.py', tmp_path / 'eomt.pth'
    config.write_text(f"""
default_scope = 'mmvis'
model = {tiny_eomt_config('EoMT', num_classes=80, num_instances=5)!r}
test_dataloader = dict(dataset=dict(type='COCOClipsDataset', test_mode=True,
                                    pipeline=[dict(type='ClipResize', scale=(64, 64), rule='fit')]))
""")
    torch.save({'state_dict': tiny_eomt('EoMT', num_classes=80).state_dict()}, checkpoint)
    predictor = VISPredictor(config, checkpoint)
    assert predictor.category_ids[:12] == (*range(1, 12), 13)                  # there is no annotation file here
    assert predictor.classes[0] == 'person'
    images = [noise(i, size) for i, size in enumerate([(40, 60), (64, 32), (40, 60)])]
    alone = [predictor.segment(image) for image in images]
    found = list(predictor.run(images))
    assert [(number, frame.frame_idx) for number, frame in found] == [(0, 0), (1, 1), (2, 2)]
    assert [frame.masks for _, frame in found] == [frame.masks for frame in alone]
    ids = np.concatenate([frame.track_ids for _, frame in found]).tolist()
    assert sorted(ids) == list(range(len(ids))) and len(ids) > 5
    assert {(x.track_id, x.first_frame, x.last_frame, x.num_frames) for x in predictor.tracks} == {
        (track_id, number, number, 1) for number, frame in found for track_id in frame.track_ids.tolist()}
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.target = 'ovis'
    cfg.model.num_classes = 25
    torch.save({'state_dict': tiny_eomt('EoMT', num_classes=25).state_dict()}, checkpoint)
    assert VISPredictor(cfg, checkpoint).classes == tuple(OVIS.values())


def test_a_system_for_videos_takes_no_image_alone(data):
    with pytest.raises(InputError, match='MaskTrackRCNN follows objects through a video'):
        make_predictor(data, 'MaskTrackRCNN').segment(noise(0))
