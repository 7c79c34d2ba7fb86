"""The way through start, step and finish, under mmengine's Runner."""
import json
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.at_end_tracker import AtEndTracker
from helpers.toy_tracker import ToyTracker
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset, Sampler

from mmvis.engine.loops import Mode, VideoTestLoop, VideoValLoop, feed, run_videos
from mmvis.errors import InputError
from mmvis.evaluation.results_writer import ResultsWriter
from mmvis.models.layers.stages import StageTimer
from mmvis.structures import FrameInstances, TrackScore, VideoInfo, VideoResult, encode_mask

LENGTHS = {11: 5, 4: 3, 9: 6}


class ToyVideos(Dataset):
    """What the loops ask of a dataset: ``videos``, ``metainfo`` and chunks by index."""
    metainfo = {'classes': ('cat', 'dog'), 'category_ids': (1, 2)}

    def __init__(self, chunk_size=2, lengths=LENGTHS):
        self.videos = [SimpleNamespace(video_id=video_id, num_frames=length) for video_id, length in lengths.items()]
        self.chunks = [(index, first, min(chunk_size, video.num_frames - first))
                       for index, video in enumerate(self.videos) for first in range(0, video.num_frames, chunk_size)]

    def __len__(self):
        return len(self.chunks)

    def image(self, index, frame):
        return torch.from_numpy(np.random.default_rng((index, frame)).integers(0, 255, (3, 8, 12), np.uint8))

    def image_reader(self, video_id):
        index = [video.video_id for video in self.videos].index(video_id)
        return lambda first, end: torch.stack([self.image(index, t) for t in range(first, end)])

    def __getitem__(self, chunk):
        index, first, length = self.chunks[chunk]
        video = self.videos[index]
        return dict(inputs=torch.stack([self.image(index, first + i) for i in range(length)]),
                    video=VideoInfo(video.video_id, (16, 24), (8, 12), 0.5, video.num_frames),
                    frame_idx=first, is_last=first + length == video.num_frames)


class ToySampler(Sampler):
    """Chunks in the order of the given videos."""

    def __init__(self, dataset, order=None):
        self.dataset = dataset
        self.order = list(range(len(dataset.videos))) if order is None else list(order)

    def __len__(self):
        return len(list(iter(self)))

    def rank_videos(self):
        return self.order

    def skip_videos(self, video_ids):
        self.order = [index for index in self.order if self.dataset.videos[index].video_id not in set(video_ids)]

    def __iter__(self):
        return (number for index in self.order for number, chunk in enumerate(self.dataset.chunks) if chunk[0] == index)


def loader(chunk_size=2, order=None, lengths=LENGTHS):
    dataset = ToyVideos(chunk_size, lengths)
    return DataLoader(dataset, batch_size=1, sampler=ToySampler(dataset, order), collate_fn=pseudo_collate)


class KeepResults(BaseMetric):

    def process(self, data_batch, data_samples):
        assert all(isinstance(sample, VideoResult) for sample in data_samples)
        self.results += data_samples

    def compute_metrics(self, results):
        return {}

    def evaluate(self, size):
        return {'toy/videos': len(self.results), 'toy/size': size}


class SeeHooks(Hook):

    def __init__(self):
        self.seen = []

    def before_val_epoch(self, runner):
        self.seen.append('before')

    def after_val_epoch(self, runner, metrics=None):
        self.seen.append(metrics)


def make_runner(tmp_path, model=None, metrics=(), **loops):
    name = f'{tmp_path.name}{id(loops)}'
    return Runner(model or ToyTracker(), str(tmp_path / 'work'), experiment_name=name,
                  log_level='WARNING', default_hooks=dict(logger=dict(type='LoggerHook')), **loops)


def make_test(tmp_path, metrics=(), model=None, **kwargs):
    runner = make_runner(tmp_path, model, test_dataloader=loader(**kwargs), test_evaluator=Evaluator(list(metrics)),
                         test_cfg=dict(type=VideoTestLoop))
    return runner, runner.test_loop


def make_writer(path):
    return ResultsWriter(str(path), list(LENGTHS), [1, 2])


def write_results(tmp_path, name, **kwargs):
    runner, loop = make_test(tmp_path, **kwargs)
    loop.writer = make_writer(tmp_path / name)
    runner.test()
    return (tmp_path / name).read_bytes()


def test_steps_follow_the_videos():
    steps = [replace(s, frames=list(s.frames)) for s in run_videos(ToyTracker().eval(), loader())]
    assert [(s.video.video_id, s.is_first, len(s.frames), s.scores is not None) for s in steps] == [
        (11, True, 2, False), (11, False, 2, False), (11, False, 1, False), (11, False, 0, True),
        (4, True, 2, False), (4, False, 1, False), (4, False, 0, True),
        (9, True, 2, False), (9, False, 2, False), (9, False, 2, False), (9, False, 0, True)]
    assert [frame.frame_idx for step in steps for frame in step.frames] == [*range(5), *range(3), *range(6)]


def test_late_frames_arrive_with_the_last_step():
    model = ToyTracker(lag=4).eval()
    steps = [step for step in run_videos(model, loader()) if step.video.video_id == 11]
    assert [(step.num_taken, len(list(step.frames))) for step in steps] == [(2, 0), (2, 0), (1, 1), (0, 4)]


class Order:
    """A sink that notes what it gets into a list that it shares."""

    def __init__(self, name, seen):
        self.name, self.seen = name, seen

    def start(self, video):
        self.seen.append((self.name, 'start'))

    def add(self, frame):
        self.seen.append((self.name, frame.frame_idx))

    def end(self, scores):
        self.seen.append((self.name, 'end'))


@pytest.mark.parametrize('lag', [0, 4])
def test_a_frame_reaches_all_sinks_before_the_next_is_made(lag):
    seen = []
    steps = [step for step in run_videos(ToyTracker(lag=lag).eval(), loader()) if step.video.video_id == 4]
    for step in steps:
        feed(step, (Order(name, seen) for name in 'ab'))
    moments = ['start', 0, 1, 2, 'end']
    assert seen == [(name, moment) for moment in moments for name in 'ab']


@pytest.mark.parametrize('gradients', [torch.no_grad, torch.inference_mode])
def test_frames_that_come_late_are_made_in_the_mode_of_the_run_which_the_caller_does_not_share(gradients):
    class Late(ToyTracker):
        def finish(self, state):
            frames, scores = super().finish(state)
            return (self._seen(frame) for frame in frames), scores

        def _seen(self, frame):
            inside.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
                           torch.is_autocast_enabled('cpu')))
            return frame

    inside, outside = [], []
    mode = Mode(dtype=torch.bfloat16, gradients=gradients)
    for step in run_videos(Late(lag=40).eval(), loader(), mode=mode):
        for frame in step.frames:
            outside.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
                            torch.is_autocast_enabled('cpu')))
    assert inside == [(False, gradients is torch.inference_mode, True)] * 14
    assert outside == [(True, False, False)] * 14


def test_a_system_that_chooses_at_the_end_reads_the_video_again():
    expected = [frame for step in run_videos(ToyTracker().eval(), loader()) for frame in step.frames]
    model = AtEndTracker().eval()
    steps = list(run_videos(model, loader(), images_of=loader().dataset.image_reader))
    assert [step.num_taken for step in steps if step.scores is None] == [2, 2, 1, 2, 1, 2, 2, 2]
    frames = [frame for step in steps for frame in step.frames]
    assert [frame.masks for frame in frames] == [frame.masks for frame in expected]
    live = [frame for step in run_videos(model, loader(), mode=Mode(live=True)) for frame in step.frames]
    assert [frame.masks for frame in live] == [frame.masks for frame in expected]
    with pytest.raises(InputError, match='passes over a video twice'):
        list(run_videos(model, loader()))


def test_loading_is_a_stage():
    with StageTimer() as timer:
        list(run_videos(ToyTracker().eval(), loader()))
    assert timer.wall['load'] > 0 and timer.cpu['load'] > 0


def test_validation_reports_its_metrics_to_the_hooks(tmp_path):
    metric, hook = KeepResults(), SeeHooks()
    runner = make_runner(tmp_path, val_dataloader=loader(), val_evaluator=Evaluator([metric]),
                         val_cfg=dict(type='mmvis.VideoValLoop'))
    runner.register_hook(hook)
    runner.model.train()
    assert runner.val() == {'toy/videos': 3, 'toy/size': 3}
    assert isinstance(runner.val_loop, VideoValLoop)
    assert hook.seen == ['before', {'toy/videos': 3, 'toy/size': 3}]
    assert metric.dataset_meta == ToyVideos.metainfo
    assert [(result.video_id, result.num_frames) for result in metric.results] == list(LENGTHS.items())
    assert all(len(result.tracks) == 3 for result in metric.results)


def test_parameters_can_be_trained_after_a_validation(tmp_path):
    runner = make_runner(tmp_path, val_dataloader=loader(), val_evaluator=Evaluator([KeepResults()]),
                         val_cfg=dict(type=VideoValLoop))
    runner.val()
    model = runner.model.train()
    model.loss(torch.zeros(1, 1, 3, 4, 4), [])['loss'].backward()
    assert model.gain.grad is not None


def test_a_wrapped_model_is_unwrapped(tmp_path):
    class Wrapped(torch.nn.DataParallel):
        pass

    expected = write_results(tmp_path, 'plain.json')
    runner, loop = make_test(tmp_path)
    runner.model = Wrapped(runner.model)
    loop.writer = make_writer(tmp_path / 'wrapped.json')
    runner.test()
    assert (tmp_path / 'wrapped.json').read_bytes() == expected


def test_results_do_not_depend_on_the_order_of_videos_nor_on_lateness(tmp_path):
    expected = write_results(tmp_path, 'a.json')
    assert len(json.loads(expected)) == 9
    assert write_results(tmp_path, 'b.json', order=[2, 0, 1]) == expected
    assert write_results(tmp_path, 'c.json', model=ToyTracker(lag=3)) == expected


def test_an_interrupted_run_goes_on_and_its_metrics_count_every_video(tmp_path):
    class Stop(Exception):
        pass

    class StopAt:
        """Stops in the last video run, after its first frame."""

        def start(self, video):
            self.video_id = video.video_id

        def add(self, frame):
            if self.video_id == 4 and frame.frame_idx == 1:
                raise Stop

        def end(self, scores):
            pass

    whole = KeepResults()
    runner, loop = make_test(tmp_path, [whole])
    loop.writer = make_writer(tmp_path / 'whole.json')
    runner.test()

    runner, loop = make_test(tmp_path, order=[0, 2, 1])
    loop.writer, loop.sinks = make_writer(tmp_path / 'r.json'), [StopAt()]
    with pytest.raises(Stop):
        runner.test()
    assert not (tmp_path / 'r.json').exists()

    metric = KeepResults()
    runner, loop = make_test(tmp_path, [metric])
    loop.writer = make_writer(tmp_path / 'r.json')
    assert runner.test() == {'toy/videos': 3, 'toy/size': 3}
    assert loop.dataloader.sampler.order == [1]  # only the unfinished video ran
    assert (tmp_path / 'r.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
    assert sorted(map(repr, metric.results)) == sorted(map(repr, whole.results))


def test_precision_sets_the_autocast_type(tmp_path):
    class SeeType(ToyTracker):
        def encode(self, frames, video):
            self.seen = (frames.new_ones(1, 1) @ frames.new_ones(1, 1)).dtype
            return super().encode(frames, video)

    for precision, dtype in {'fp32': torch.float32, 'bf16': torch.bfloat16}.items():
        model = SeeType()
        runner = make_runner(tmp_path, model, val_dataloader=loader(), val_evaluator=Evaluator([]),
                             val_cfg=dict(type=VideoValLoop, precision=precision))
        runner.val()
        assert model.seen == dtype
    with pytest.raises(ValueError, match="precision is 'fp64'"):
        VideoValLoop(runner, loader(), [], precision='fp64')


@pytest.mark.parametrize('batch_size', [0, 2, '1'])
def test_a_batch_of_several_chunks_is_refused(tmp_path, batch_size):
    runner = make_runner(tmp_path)
    for given in (dict(batch_size=batch_size, dataset=ToyVideos()), SimpleNamespace(batch_size=batch_size)):
        with pytest.raises(InputError, match=f'test_dataloader.batch_size is {batch_size!r}.*it must be 1'):
            VideoTestLoop(runner, given, [])


def test_progress_names_speed_and_videos_left(tmp_path, monkeypatch):
    runner, loop = make_test(tmp_path)
    lines = []
    monkeypatch.setattr(runner.logger, 'info', lines.append)
    runner.test()
    last = [line for line in lines if 'frames/s' in line][-1]
    assert last.startswith('0 of 3 videos left, 14/14 frames, ')


class TenTracks(ToyTracker):
    """Ten tracks a frame, made as cheaply as can be: what grows is the loop and the writer."""

    def __init__(self):
        super().__init__()
        mask = np.random.default_rng(0).random((16, 24)) > 0.5
        self.counts = encode_mask(mask)['counts']

    def advance(self, state, frames):
        if state.next_frame == 100:
            tracemalloc.start()  # what is allocated is counted from here: the process itself holds what other tests left
        frames = [self._ten(state.next_frame + i) for i in range(len(frames))]
        state.next_frame += len(frames)
        if state.next_frame == state.video.num_frames:
            self.peak = tracemalloc.get_traced_memory()[1]
        return frames

    def _ten(self, index):
        masks = [{'size': [16, 24], 'counts': self.counts[:-1] + self.counts[-1]} for _ in range(10)]
        return FrameInstances(index, np.arange(10), np.zeros(10, np.int64), np.ones(10, np.float32),
                              np.ones((10, 4), np.float32), masks)

    def finish(self, state):
        return [], [TrackScore(track, 0, 0.5) for track in range(10)]


def test_memory_does_not_grow_with_the_frames(tmp_path):
    """A video of 1,000 frames: after frame 100 at most the bytes of the RLEs and 2 KiB a frame, at any moment."""
    model = TenTracks()
    runner, loop = make_test(tmp_path, model=model, lengths={1: 1000}, chunk_size=1)
    loop.writer = ResultsWriter(str(tmp_path / 'r.json'), [1], [1, 2], pickle_path=str(tmp_path / 'r.pkl'))
    try:
        runner.test()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    rle_bytes = 900 * 10 * len(model.counts)
    assert model.peak <= 900 * 512  # nothing of a frame is kept while the video runs
    assert peak <= rle_bytes + 900 * 2048  # when the files are joined, one video is
    assert len(json.loads((tmp_path / 'r.json').read_text())) == 10
