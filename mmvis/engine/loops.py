"""Inference over videos: the one way through ``start``, ``step`` and ``finish``, and the Val and Test loops on it."""
import time
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Protocol, Sequence, Union

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmvis.errors import InputError
from mmvis.evaluation.results_writer import ResultsWriter
from mmvis.models.base import VISModel
from mmvis.models.layers.stages import stage
from mmvis.registry import LOOPS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo, VideoResult

from .class_numbers import check_ground_truth
from .meeting import Meeting, patience

#: What helps when a video is too much for a GPU; mmvis.cli tells it.
SMALLER_INFERENCE = ('fewer frames at a time (--cfg-options test_dataloader.dataset.chunk_size=1), smaller frames '
                     '(the scale of the pipeline) or --precision fp16')

PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@dataclass
class VideoStep:
    """What one step of inference gave: ``frames`` of ``video`` that are now final, to be taken once.

    ``num_taken`` frames went in. ``is_first`` marks the first step of a video; ``scores``, the verdicts on its tracks,
    come with its last step and are None before.
    """
    video: VideoInfo
    frames: Iterable[FrameInstances]
    num_taken: int = 0
    scores: Optional[List[TrackScore]] = None
    is_first: bool = False


#: ``images(first, end)``: frames of a video at the size of the network, uint8 [end - first, 3, height, width] BGR.
ImageReader = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class Mode:
    """How a model runs over videos.

    Attributes:
        live: see ``VISModel.start``.
        dtype: of autocast; None: without.
        gradients: ``torch.no_grad``, or ``torch.inference_mode``, which saves a little more time where the model is not
            trained afterwards.
    """
    live: bool = False
    dtype: Optional[torch.dtype] = None
    gradients: Callable[[], AbstractContextManager] = torch.no_grad


class VideoRun:
    """One video on its way through a model.

    Gradients are off and autocast is on only while the model runs, never while the caller has the control.

    Args:
        model: the bare model (no wrapper), in eval mode.
        video: what is known of the video.
        num_labels: how many categories the data have; tracks of other classes that the model knows get no verdict.
        mode: how the model runs.
        images: reads frames of the video again, where that can be done.
    """

    def __init__(self, model: VISModel, video: VideoInfo, num_labels: Optional[int] = None, mode: Mode = Mode(),
                 images: Optional[ImageReader] = None) -> None:
        self.model, self.video, self.num_labels, self.mode = model, video, num_labels, mode
        reader = None if images is None else lambda first, end: self._prepare(images(first, end))
        with self._inside():
            self.state = model.start(video, self.mode.live, reader)
        self._is_first = True

    @property
    def lag(self) -> Optional[int]:
        """By how many frames the steps are behind; None: all frames come with ``finish``."""
        return self.model.lag(self.state)

    def step(self, images: Tensor) -> VideoStep:
        """Take the next frames: uint8 [T, 3, height, width] BGR at the size ``video.img_shape``."""
        is_first, self._is_first = self._is_first, False
        with self._inside():
            frames = self.model.step(self.state, self._prepare(images))
        return VideoStep(self.video, frames, len(images), is_first=is_first)

    def finish(self) -> VideoStep:
        """End of the video: the frames still owed, made one by one as they are taken, and the verdicts."""
        with self._inside():
            frames, scores = self.model.finish(self.state)
        if self.num_labels is not None:
            scores = [score for score in scores if score.label < self.num_labels]
        return VideoStep(self.video, self._each(frames), scores=scores)

    def _each(self, frames: Iterable[FrameInstances]) -> Iterator[FrameInstances]:
        frames = iter(frames)
        while True:
            with self._inside():
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    def _prepare(self, images: Tensor) -> Tensor:
        return self.model.data_preprocessor({'inputs': [images]}, False)['inputs']

    @contextmanager
    def _inside(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(self.mode.gradients())
            if self.mode.dtype is not None:
                device = torch.device(self.model.data_preprocessor.device)
                stack.enter_context(torch.autocast(device.type, dtype=self.mode.dtype))
            try:
                yield
            except torch.OutOfMemoryError as error:
                error.advice = SMALLER_INFERENCE
                raise


def run_videos(model: VISModel, chunks: Iterable[Dict[str, Any]], num_labels: Optional[int] = None,
               mode: Mode = Mode(),
               images_of: Optional[Callable[[Union[int, str]], ImageReader]] = None) -> Iterator[VideoStep]:
    """Drive a model over the chunks of videos, in order, one video after another.

    Args:
        model: the bare model, in eval mode.
        chunks: ``dict(inputs, video, is_last)``, each value in a list of one, as a data loader collates it: images
            uint8 [T, 3, height, width] BGR, a VideoInfo, whether the chunk is the last of its video.
        num_labels: see VideoRun.
        mode: how the model runs.
        images_of: video id -> what reads the video again, for systems that pass over it twice.

    Yields:
        A step for every chunk, and one more with the verdicts at the end of every video.
    """
    run: Optional[VideoRun] = None
    chunks = iter(chunks)
    while True:
        with stage('load'):
            chunk = next(chunks, None)
        if chunk is None:
            return
        if run is None:
            video = chunk['video'][0]
            run = VideoRun(model, video, num_labels, mode, images_of and images_of(video.video_id))
        yield run.step(chunk['inputs'][0])
        if chunk['is_last'][0]:
            yield run.finish()
            run = None


class FrameSink(Protocol):
    """Takes the results of one video after another as they come: the results writer, a drawer."""

    def start(self, video: VideoInfo) -> None: ...

    def add(self, frame: FrameInstances) -> None: ...

    def end(self, scores: Sequence[TrackScore]) -> None: ...


def feed(step: VideoStep, sinks: Iterable[FrameSink]) -> None:
    """Hand a step to the sinks, a frame to all of them before the next is taken."""
    sinks = list(sinks)
    if step.is_first:
        for sink in sinks:
            sink.start(step.video)
    for frame in step.frames:
        for sink in sinks:
            sink.add(frame)
    if step.scores is not None:
        for sink in sinks:
            sink.end(step.scores)


class VideoCollector:
    """A sink that keeps the frames of the current video and makes its VideoResult."""

    def start(self, video: VideoInfo) -> None:
        self._video, self._frames, self._result = video, [], None

    def add(self, frame: FrameInstances) -> None:
        self._frames.append(frame)

    def end(self, scores: Sequence[TrackScore]) -> None:
        self._result = VideoResult.from_frames(self._video, self._frames, list(scores))

    def read(self, video_id: Union[int, str]) -> VideoResult:
        """The video that has just ended."""
        return self._result


class _VideoLoop(BaseLoop):
    """What validation and test share.

    Hooks before and after the whole pass are called. Those around every iteration are not: a video may have thousands
    of chunks, and mmengine's hooks keep numbers of each.

    Args:
        runner: the runner.
        dataloader: of a dataset in test mode, batch size 1, with a VideoSampler.
        evaluator: metrics that take VideoResults; may be an empty list.
        precision: 'fp32', 'bf16' or 'fp16': the type under whose autocast the model runs.
    """
    mode = ''

    def __init__(self, runner: Runner, dataloader: Union[DataLoader, Dict], evaluator: Union[Evaluator, Dict, List],
                 precision: str = 'fp32') -> None:
        if precision not in PRECISIONS:
            raise InputError(f'precision is {precision!r}; it must be one of {", ".join(PRECISIONS)}.')
        batch_size = dataloader.get('batch_size', 1) if isinstance(dataloader, dict) else dataloader.batch_size
        if batch_size != 1:
            raise InputError(f'{self.mode}_dataloader.batch_size is {batch_size!r}, but videos are run chunk by chunk: '
                             'it must be 1 (dataset.chunk_size is the number of frames in a step).')
        super().__init__(runner, dataloader)
        self.model_mode = Mode(dtype=PRECISIONS[precision])
        self.meeting = Meeting(patience(runner.cfg))
        self.evaluator = evaluator if isinstance(evaluator, Evaluator) else runner.build_evaluator(evaluator)
        self.evaluator.dataset_meta = self.dataset.metainfo
        runner.visualizer.dataset_meta = self.dataset.metainfo
        if self.mode == 'val' and self.evaluator.metrics:
            check_ground_truth(self.dataset)

    @property
    def dataset(self):
        return self.dataloader.dataset

    def run(self) -> Dict[str, float]:
        """Run the videos of this process; returns the metrics over the videos of all processes."""
        self.runner.call_hook(f'before_{self.mode}')
        self.runner.call_hook(f'before_{self.mode}_epoch')
        self.runner.model.eval()
        self.run_all()
        metrics = self.evaluator.evaluate(len(self.dataset.videos))
        self.runner.call_hook(f'after_{self.mode}_epoch', metrics=metrics)
        self.runner.call_hook(f'after_{self.mode}')
        return metrics

    def run_all(self) -> None:
        self.run_rank([], VideoCollector() if self.evaluator.metrics else None)

    def run_rank(self, sinks: List[FrameSink], memory: Optional[Union[VideoCollector, ResultsWriter]]) -> None:
        """Run the videos of this process.

        Args:
            sinks: take every frame.
            memory: also a sink, from which a finished video can be read for the metrics.
        """
        model = self.runner.model
        model = model.module if is_model_wrapper(model) else model
        videos = [self.dataset.videos[index] for index in self.dataloader.sampler.rank_videos()]
        progress = _Progress(self.runner.logger, len(videos), sum(video.num_frames for video in videos))
        sinks = sinks + [memory] if memory else sinks
        num_labels = len(self.dataset.metainfo['category_ids'])
        for step in run_videos(model, self.dataloader, num_labels, self.model_mode, self.dataset.image_reader):
            feed(step, sinks)
            if step.scores is not None and self.evaluator.metrics:
                self.evaluator.process(data_samples=[memory.read(step.video.video_id)], data_batch=None)
            progress.add(step)
            self.meeting.tell()
        self.meeting.wait()


@LOOPS.register_module()
class VideoValLoop(_VideoLoop):
    """Validation: every video through the model and its VideoResult to the metrics. Writes no file."""
    mode = 'val'


@LOOPS.register_module()
class VideoTestLoop(_VideoLoop):
    """Test: as validation, and every frame also to the results file and to other sinks.

    Attributes:
        writer: a ResultsWriter, or None. Videos that a killed run has finished are not run again; they are read from
            its journal for the metrics.
        live: run the videos as if they had no end (see ``VISModel.start``).
        sinks: more takers of every frame, such as the drawer of overlays.
    """
    mode = 'test'

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.writer: Optional[ResultsWriter] = None
        self.sinks: List[FrameSink] = []
        self.live = False

    def run_all(self) -> None:
        self.model_mode = replace(self.model_mode, live=self.live, gradients=torch.inference_mode)
        writer = self.writer
        if writer is None:
            return self.run_rank(self.sinks, VideoCollector() if self.evaluator.metrics else None)
        writer.open()
        try:
            self.dataloader.sampler.skip_videos(writer.finished)
            if self.evaluator.metrics and is_main_process():
                for video_id in writer.finished:
                    self.evaluator.process(data_samples=[writer.read(video_id)], data_batch=None)
            self.run_rank(self.sinks, writer)
            writer.join()
        finally:
            writer.close()


class _Progress:
    """A line every few seconds, on the main process: videos left, frames per second, time left."""

    def __init__(self, logger: MMLogger, num_videos: int, num_frames: int, interval: float = 5.) -> None:
        self.logger, self.interval = logger, interval
        self.num_videos, self.num_frames = num_videos, num_frames
        self.videos = self.frames = 0
        self.begin = self.last = time.perf_counter()

    def add(self, step: VideoStep) -> None:
        self.frames += step.num_taken
        self.videos += step.scores is not None
        now = time.perf_counter()
        if self.videos < self.num_videos and now - self.last < self.interval:
            return
        self.last = now
        if not is_main_process():
            return
        speed = self.frames / (now - self.begin)
        seconds = round((self.num_frames - self.frames) / speed) if speed else 0
        share = f' (process 0 of {get_world_size()})' if get_world_size() > 1 else ''
        self.logger.info(f'{self.num_videos - self.videos} of {self.num_videos} videos left, '
                         f'{self.frames}/{self.num_frames} frames, {speed:.1f} frames/s, '
                         f'ETA {seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{share}')
