"""Frame by frame: a model with the state of one video."""
import copy
import itertools
import os
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Deque, Dict, Iterable, Iterator, List, Optional, Tuple, Union, cast

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmvis.converters import load_checkpoint
from mmvis.datasets.clip import Clip, ClipFrame, pack_chunk
from mmvis.datasets.transforms import ClipCompose
from mmvis.download import model_files
from mmvis.engine.class_numbers import check_classes, check_trained, fill_class_number
from mmvis.engine.config import load_config
from mmvis.engine.gpus import warn_of_unusable_gpu
from mmvis.engine.loops import ImageReader, Mode, VideoRun
from mmvis.errors import InputError
from mmvis.models.base import VISModel
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.registry import MODELS
from mmvis.shipped import find_checkpoint
from mmvis.structures import FrameInstances, TrackHistory, TrackScore, TrackVerdict, VideoInfo

from .published import find_published, read_published
from .sources import ReadAgain, Source, open_source
from .test_config import find_classes, test_dataset


class VISPredictor:
    """Detects, segments and tracks the objects of a video, frame after frame.

    One predictor holds one video at a time, and nothing of a frame once its result is out: a ``live`` source, without
    end, runs in constant memory. The way of a frame is that of ``tools/test_video.py``: the test pipeline of the
    config, the data preprocessor, ``start``, ``step`` and ``finish`` of the model.

    A predictor may be used from any thread, but from one at a time and for one video at a time: a call while another is
    at work, or one that gets between the frames of ``run``, raises a RuntimeError and changes nothing.
    ``copy.copy(predictor)`` followed by ``reset`` is another video on the same weights, for another thread.

    Args:
        config: a config file, its name under ``configs/``, or a Config.
        checkpoint: weights, in any layout that mmvis knows; without a file at this path its name under ``models/``.
        device: such as 'cpu' or 'cuda:1'; by default the GPU if there is one.
        precision: 'fp32', 'bf16', or on CUDA 'tf32' or 'fp16'.
        score_thr: instances with a lower score in a frame are left out of its result.
        cfg_options: dotted keys of the config to change.
        load_anyway: take what fits of a checkpoint of another model.
        compiled: by torch.compile, for systems that have parts for it (VidEoMT, EoMT); needs a compiler.


    Attributes:
        lag: by how many frames ``step`` is behind: the result of frame t comes when frame t + lag is given. None: the
            system chooses its tracks when the video ends, and all results come with ``finish``.
        classes: name of each label; None if neither the config nor the checkpoint nor the annotation file tells.
        category_ids: the id of each label in the annotation file; None as ``classes``.
        video: what is known of the current video; None before its first frame.
        tracks: one verdict for each track that was shown in the video that was finished last: class, score, first and
            last frame, frames seen; complete when the frames that ``finish`` gives have been taken.
        entries: what a results file has of that video, in its order: a track may have several, one a class.

    Raises:
        FileNotFoundError, ValueError: one sentence on what is wrong with config, checkpoint, device or precision.
    """

    def __init__(self, config: Union[str, os.PathLike, Config], checkpoint: Union[str, os.PathLike],
                 device: Optional[Union[str, torch.device]] = None, precision: str = 'fp32', score_thr: float = 0.,
                 cfg_options: Optional[Dict[str, Any]] = None, load_anyway: bool = False,
                 compiled: bool = False) -> None:
        if not isinstance(config, Config):
            config = load_config(os.fspath(config), cfg_options)
        else:
            config = copy.deepcopy(config)
            config.merge_from_dict(cfg_options or {})
        dataset = test_dataset(config)
        checkpoint = find_checkpoint(checkpoint)
        fill_class_number(config, checkpoint)
        init_default_scope(config.get('default_scope', 'mmvis'))
        self.model: VISModel = MODELS.build(config.model)
        report = load_checkpoint(self.model, checkpoint, logger='silent')
        check_trained(report, checkpoint, self.model, anyway=load_anyway)
        self.model.to(_find_device(device))
        optimize_for_inference(self.model, precision, compiled)
        self.pipeline = ClipCompose(dataset.get('pipeline', ()))
        self.inclusive = dataset.get('box_mode') == 'inclusive'
        self.score_thr = score_thr
        self.classes, self.category_ids = find_classes(dataset, report.dataset_meta)
        if self.classes is not None:
            check_classes(self.model, len(self.classes), dataset['type'])
        self.entries: List[TrackScore] = []
        self._last_history = TrackHistory()
        self._turn = _Turn()
        self._begin(1)

    @classmethod
    def from_name(cls, name: str, **options: Any) -> 'VISPredictor':
        """The model of a name (``mmvis models`` lists them): its config, and its checkpoint, which is fetched if it is not
        on this machine.

        Args:
            options: as for the class, from ``device`` on.

        Raises:
            InputError: no model has this name, or its checkpoint cannot be fetched: the sentence has the address and the
                place where the file belongs.
        """
        return cls(*model_files(name), **options)

    @classmethod
    def from_pretrained(cls, source: Union[str, os.PathLike], revision: Optional[str] = None,
                        **options: Any) -> 'VISPredictor':
        """A model that ``tools/publish_model.py`` has written.

        Args:
            source: its file, a folder with this one file, or the id of such a repository of the Hugging Face hub, OWNER/NAME.
            revision: branch, tag or commit of that repository.
            options: as for the class, from ``device`` on.

        Raises:
            InputError: there is no such model, or the hub cannot be reached.
        """
        path = find_published(source, revision)
        return cls(read_published(path), path, **options)

    def __copy__(self) -> 'VISPredictor':
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _turn=_Turn())
        return twin

    @property
    def lag(self) -> Optional[int]:
        if self._run is None:  # before the first frame: what is not known yet does not matter here
            unknown = VideoInfo(self.video_id, (1, 1), (1, 1), 1.)
            return VideoRun(self.model, unknown, None, self._mode, lambda first, end: torch.empty(0)).lag
        return self._run.lag

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def video(self) -> Optional[VideoInfo]:
        return None if self._run is None else self._run.video

    @property
    def tracks(self) -> List[TrackVerdict]:
        return self._last_history.verdicts(self.entries)

    def reset(self, video_id: Union[int, str] = 1, live: bool = False,
              again: Optional[Iterable[np.ndarray]] = None) -> None:
        """Begin a new video; what is left of the present one is dropped.

        Args:
            live: it has no end: what the system remembers is bounded, and one that chooses its tracks at the end shows
                at once what leads so far.
            again: gives the frames of the video once more, for systems that pass over it twice.
        """
        with self._turn.take():
            self._begin(video_id, live, again)

    def _begin(self, video_id: Union[int, str], live: bool = False,
               again: Optional[Iterable[np.ndarray]] = None) -> None:
        self.video_id = video_id
        self._mode = Mode(live, gradients=torch.inference_mode)
        self._images = None if again is None else self._image_reader(again)
        self.frame_idx = 0  # of the next frame
        self._run: Optional[VideoRun] = None
        self._final: Deque[FrameInstances] = deque()
        self._history = TrackHistory()
        self._owner = object()  # of the video: run() knows its own by it

    def step(self, frame: np.ndarray) -> Optional[FrameInstances]:
        """Take the next frame of the video.

        Args:
            frame: uint8 [h, w, 3] BGR, as OpenCV reads it; all frames of a video have one size.

        Returns:
            The instances of the oldest frame that is final and not yet returned, which is this frame if ``lag`` is 0.
            Otherwise it is the frame given ``lag`` calls ago, and None during the first ``lag`` calls (always if ``lag``
            is None); ``finish`` gives the rest. No frame is lost or returned twice.

        Raises:
            ValueError: the frame is not of this form, or of another size than those before it. The video can go on.
            RuntimeError: the predictor is at work in another thread.
        """
        with self._turn.take():
            return self._step(frame)

    def _step(self, frame: np.ndarray) -> Optional[FrameInstances]:
        self._check(frame)
        chunk = self._prepare(frame, self.frame_idx)
        if self._run is None:
            num_labels = None if self.category_ids is None else len(self.category_ids)
            self._run = VideoRun(self.model, chunk['video'], num_labels, self._mode, self._images)
        self.frame_idx += 1
        self._final.extend(self._run.step(chunk['inputs']).frames)
        return self._history.add(self._select(self._final.popleft())) if self._final else None

    def finish(self) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """End of the video: the frames that ``step`` still owes and the entries of a results file; then a new one begins.

        The frames are made one by one, when they are taken; they may be taken once, also after a new video has begun.
        An entry gives class and score of a track for the whole video. The frames that ``step`` has returned are not
        kept: join them with ``VideoResult.from_frames`` if you have kept them.

        Raises:
            RuntimeError: the predictor is at work in another thread.
        """
        with self._turn.take():
            return self._finish()

    def _finish(self) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        frames: Iterator[FrameInstances] = iter(())
        self.entries, self._last_history = [], self._history
        if self._run is not None:
            last = self._run.finish()
            history = self._history
            frames = (history.add(self._select(frame)) for frame in itertools.chain(self._final, last.frames))
            self.entries = last.scores or []
        self._begin(self.video_id, self._mode.live)
        return frames, self.entries

    def segment(self, image: np.ndarray, image_id: Union[int, str] = 1) -> FrameInstances:
        """The instances of one image, uint8 [h, w, 3] BGR of any size, by a system that segments images (EoMT); what it
        was doing before is dropped.

        Raises:
            InputError: the system is one for videos, or the image is not of this form.
            RuntimeError: the predictor is at work in another thread.
        """
        if not self.model.SEGMENTS_IMAGES:
            raise InputError(f'{type(self.model).__name__} follows objects through a video: give it frames by step, or '
                             'a source by run.')
        with self._turn.take():
            self._begin(image_id)
            found = self._step(image)
            self._finish()
        return cast(FrameInstances, found)  # of an image it comes at once

    def run(self, source: Union[Source, Iterable[np.ndarray]]) -> Iterator[Tuple[int, FrameInstances]]:
        """A whole video, or a camera until it is stopped; afterwards ``tracks`` and ``entries`` hold the verdicts.

        Args:
            source: whatever ``open_source`` takes, or frames as ``step`` takes them. Cameras and streams are live. What
                passes over the video twice needs a source or a list: a generator gives its frames once.

        Yields:
            ``frame_idx`` (0-based) and instances of every frame, in order, as soon as they are final.

        Raises:
            RuntimeError: between two frames the predictor was used for something else, which would mix two videos.
        """
        frames = open_source(source) if isinstance(source, (str, os.PathLike, int)) else source
        return self._run_frames(frames)

    def _run_frames(self, frames: Iterable[np.ndarray]) -> Iterator[Tuple[int, FrameInstances]]:
        live = getattr(frames, 'live', False)
        if self.model.SEGMENTS_IMAGES and not live:
            yield from self._run_images(frames)
            return
        once = live or isinstance(frames, Iterator)
        self.reset(live=live, again=None if once else frames)
        owner, number = self._owner, 0
        for number, frame in enumerate(frames):
            self._check_owner(owner, number)
            result = self.step(frame)
            if result is not None:
                yield result.frame_idx, result
            number += 1
        self._check_owner(owner, number)
        for result in self.finish()[0]:
            yield result.frame_idx, result

    def _run_images(self, images: Iterable[np.ndarray]) -> Iterator[Tuple[int, FrameInstances]]:
        """As ``run``: every frame is an image by itself, of a size of its own; the numbers of instances go on."""
        entries, history, first = [], TrackHistory(), 0
        for number, image in enumerate(images):
            found = self.segment(image)
            entries += [replace(entry, track_id=entry.track_id + first) for entry in self.entries]
            found = replace(found, frame_idx=number, track_ids=found.track_ids + first)
            first += 1 + max((entry.track_id for entry in self.entries), default=-1)
            yield number, history.add(found)
        self.entries, self._last_history = entries, history

    def _check_owner(self, owner: object, frame_idx: int) -> None:
        if self._owner is not owner or self.frame_idx != frame_idx:
            raise RuntimeError(f'The predictor was used for something else between two frames of run() (before frame '
                               f'{frame_idx}): one predictor holds one video. Take copy.copy(predictor) for another '
                               'one.')

    def _prepare(self, frame: np.ndarray, frame_idx: int) -> Dict[str, Any]:
        """A test chunk (see ``VISDataset``) of one frame."""
        image = np.ascontiguousarray(frame)
        clip = Clip(self.video_id, None, image.shape[:2], [ClipFrame(frame_idx, image)], self.inclusive)
        return pack_chunk(self.pipeline(clip, np.random.default_rng(0)))

    def _image_reader(self, again: Iterable[np.ndarray]) -> ImageReader:
        frames = ReadAgain(again)
        return lambda first, end: torch.cat([self._prepare(frame, first + number)['inputs']
                                             for number, frame in enumerate(frames(first, end))])

    def _check(self, frame: Any) -> None:
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 \
                or not frame.size:
            given = f'{frame.dtype} {list(frame.shape)}' if hasattr(frame, 'shape') else type(frame).__name__
            raise InputError(f'Frame {self.frame_idx} must be a NumPy array uint8 [height, width, 3] in BGR, not '
                             f'{given}.')
        if self.video is not None and frame.shape[:2] != self.video.ori_shape:
            (h, w), (old_h, old_w) = frame.shape[:2], self.video.ori_shape
            raise InputError(f'Frame {self.frame_idx} has {w} x {h} pixels, but the video began with {old_w} x '
                             f'{old_h}: a video has one size; call reset() to begin another.')

    def _select(self, frame: FrameInstances) -> FrameInstances:
        """The instances that reach ``score_thr``."""
        rows = np.flatnonzero(frame.scores >= self.score_thr)
        if len(rows) == len(frame):
            return frame
        return FrameInstances(frame.frame_idx, frame.track_ids[rows], frame.labels[rows], frame.scores[rows],
                              frame.boxes[rows], [frame.masks[row] for row in rows])


class _Turn:
    """One caller at a time. A deep copy and an unpickled one are new and free."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self):
        return _Turn, ()

    @contextmanager
    def take(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError('The predictor is at work in another thread: it holds one video and may be used by one '
                               'thread at a time. Take copy.copy(predictor) and reset() for another video on the same '
                               'weights.')
        try:
            yield
        finally:
            self._lock.release()


def _find_device(device: Optional[Union[str, torch.device]]) -> torch.device:
    if device is None:
        warn_of_unusable_gpu()
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch has one for each: unknown, not built in, no such number
        reason = str(error).split('\n')[0]
        raise InputError(f'Device {device!s} cannot be used here: {reason}') from None
    return device
