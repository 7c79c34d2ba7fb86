"""results.json of a test run: written frame by frame, resumable, the same bytes whatever the number of processes."""
import glob
import json
import logging
import os
from array import array
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.dist import barrier, broadcast_object_list, get_rank
from mmengine.logging import print_log

from mmvis.errors import InputError, InputFileError, of_user_path
from mmvis.structures import (RLE, FrameInstances, TrackScore, VideoInfo, VideoResult, VideoTrack, encode_mask,
                              with_empty_masks)

from . import journal, official_pickle
from .journal import Journal, Piece, VideoId


class ResultsWriter:
    """Takes the frames of the videos of this process and leaves the results file of all processes.

    Use: ``open``; for each video not in ``finished``: ``start``, ``add`` a frame at a time, ``end``; then ``join``.
    ``open`` and ``join`` are called by all processes together; the processes must share the folder of the file.

    The file is a JSON list of ``{"video_id", "score", "category_id", "segmentations"}``, videos in the order of the
    dataset, tracks in the order of the model's verdicts, ``segmentations`` with an RLE or null for every frame
    (the format of the YouTube-VIS and OVIS servers).

    Args:
        path: the results file.
        video_ids: ids of the annotation file, in the order of the dataset.
        category_ids: category id of the annotation file of each label.
        run: JSON-able description of what decides the results (data, checkpoint, settings). What a killed run left is
            used only if its description is equal.
        pickle_path: also leave the pickle of the original MaskTrackRCNN tools there.
    """

    def __init__(self, path: str, video_ids: Sequence[VideoId], category_ids: Sequence[int],
                 run: Optional[Dict[str, Any]] = None, pickle_path: Optional[str] = None) -> None:
        self.path = Path(path)
        self.video_ids = list(video_ids)
        self.category_ids = list(category_ids)
        self.run = json.loads(json.dumps(run or {}))
        self.pickle_path = Path(pickle_path) if pickle_path else None
        self.finished: List[VideoId] = []
        self._pieces: Dict[VideoId, Piece] = {}
        self._journal: Optional[Journal] = None
        self._video_id: Optional[VideoId] = None

    def open(self) -> None:
        """Take up what a killed run of the same description left, by whatever number of processes."""
        shared: List[Any] = [None]
        if get_rank() == 0:
            # Rank 0 alone looks, so that all processes agree; its failure must reach the others, who wait.
            try:
                with of_user_path(self.path, 'cannot be written'):
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                shared[0] = self._take_up()
            except (OSError, ValueError) as error:
                shared[0] = error
        broadcast_object_list(shared)
        if isinstance(shared[0], Exception):
            raise shared[0]
        self._pieces = shared[0]
        self.finished = [video_id for video_id in self.video_ids if video_id in self._pieces]
        if self.finished:
            print_log(f'Going on with {self.path}: {len(self.finished)} of {len(self.video_ids)} videos are finished.',
                      logger='current')
        self._journal = Journal(self._part(get_rank()), self.run)

    def start(self, video: VideoInfo) -> None:
        self._video_id = video.video_id
        with self._explain():
            self._journal.start(video)

    def add(self, frame: FrameInstances) -> None:
        with self._explain():
            self._journal.add(frame)

    def end(self, scores: Sequence[TrackScore]) -> None:
        for verdict in scores:
            if not 0 <= verdict.label < len(self.category_ids):
                raise InputError(f'video {self._video_id}: the model gives label {verdict.label}, but the dataset has '
                                 f'{len(self.category_ids)} classes; num_classes of the config must fit the dataset.')
        with self._explain():
            self._pieces[self._video_id] = self._journal.end(scores)

    def read(self, video_id: VideoId) -> VideoResult:
        """A finished video, read back from the journal."""
        head, verdicts, masks = _tracks_of(self._pieces[video_id])
        size, num_frames, tracks = head['size'], head['num_frames'], []
        for track_id, label, score, born in verdicts:
            own = {frame: RLE(size=size, counts=counts) for frame, counts in masks[track_id].items()}
            tracks.append(VideoTrack(track_id, label, score, with_empty_masks(own, born, num_frames, size)))
        return VideoResult(video_id, num_frames, tracks)

    def close(self) -> None:
        """Let go of the journal; what is in it stays for the next run."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def join(self) -> None:
        """Join the journals of all processes into the results file and remove them."""
        self.close()
        barrier()
        failed: List[Any] = [None]
        if get_rank() == 0:
            try:
                with self._explain():
                    self._join()
            except (OSError, ValueError) as error:
                failed[0] = error
        broadcast_object_list(failed)
        if failed[0] is not None:
            raise failed[0]

    def _join(self) -> None:
        for part in self._parts():
            self._pieces.update(journal.scan(part)[1])
        missing = [video_id for video_id in self.video_ids if video_id not in self._pieces]
        if missing:
            raise InputError(f'{self.path}: {len(missing)} of {len(self.video_ids)} videos are not finished '
                             f'(video {missing[0]} first); give the same command again to go on.')
        pieces = [self._pieces[video_id] for video_id in self.video_ids]
        if self.pickle_path is not None:
            with _replacing(self.pickle_path, 'wb') as file:
                official_pickle.write(file, pieces, len(self.category_ids))
        with _replacing(self.path, 'w') as file:
            file.write('[')
            for number, entry in enumerate(text for piece in pieces for text in self._entries(piece)):
                file.write(', ' if number else '')
                file.writelines(entry)
            file.write(']')
        for part in self._parts():
            part.unlink()

    def _entries(self, piece: Piece) -> Iterator[Iterator[str]]:
        """The entries of a video as JSON text in small parts: what ``json.dump`` of the list would write."""
        head, verdicts, masks = _tracks_of(piece)
        video_id, size = json.dumps(head['start']), json.dumps(head['size'])
        empty = encode_mask(np.zeros(head['size'], np.uint8))['counts']
        for track_id, label, score, born in verdicts:
            by_frame = {} if born is None else dict.fromkeys(range(born, head['num_frames']), empty)
            by_frame.update(masks[track_id].items())
            yield self._entry(video_id, score, self.category_ids[label], size, head['num_frames'], by_frame)

    @staticmethod
    def _entry(video_id: str, score: float, category_id: int, size: str, num_frames: int,
               masks: Dict[int, str]) -> Iterator[str]:
        yield (f'{{"video_id": {video_id}, "score": {score!r}, "category_id": {json.dumps(category_id)}, '
               f'"segmentations": [')
        for frame in range(num_frames):
            counts = masks.get(frame)
            rle = 'null' if counts is None else f'{{"size": {size}, "counts": {json.dumps(counts)}}}'
            yield f', {rle}' if frame else rle
        yield ']}'

    def _take_up(self) -> Dict[VideoId, Piece]:
        pieces: Dict[VideoId, Piece] = {}
        for part in self._parts():
            run, found, good = journal.scan(part)
            if run == self.run:
                journal.cut(part, good)
                pieces.update(found)
                continue
            if found:
                other = ', '.join(journal.differences(run or {}, self.run))
                print_log(f'{part} was left by another run (differs in: {other}); it is removed and this run starts '
                          f'from the first video.', logger='current', level=logging.WARNING)
            part.unlink()
        return pieces

    def _part(self, rank: int) -> Path:
        return self.path.with_name(f'{self.path.name}.part.{rank}')

    def _parts(self) -> List[Path]:
        return sorted(Path(name) for name in glob.glob(f'{glob.escape(str(self.path))}.part.*'))

    @contextmanager
    def _explain(self) -> Iterator[None]:
        """A full disk or a folder without permission: say what is kept and how to go on."""
        try:
            yield
        except OSError as error:
            raise InputFileError(f'Cannot write {error.filename or self.path}: {error.strerror or error}. Finished videos are '
                                 f'kept in {self.path}.part.*; put this right and give the same command again to go on.'
                                 ) from error


class _TrackMasks:
    """The masks of one track: 61 bytes and the counts a mask, half of what a dict takes."""

    def __init__(self) -> None:
        self.frames, self.counts = array('l'), []

    def add(self, frame: int, counts: str) -> None:
        self.frames.append(frame)
        self.counts.append(counts)

    def items(self) -> Iterator[Tuple[int, str]]:
        return zip(self.frames, self.counts)


def _tracks_of(piece: Piece) -> Tuple[Dict[str, Any], List[tuple], Dict[int, _TrackMasks]]:
    """Start record (with the final ``num_frames``), verdicts (track_id, label, score, born) and the masks by track id."""
    masks: Dict[int, _TrackMasks] = {}
    for record in piece.lines():
        if 'start' in record:
            head = record
        elif 'end' in record:
            head['num_frames'] = record['num_frames']
            verdicts = record['tracks']
        else:
            for track_id, counts in zip(record['ids'], record['counts']):
                if counts is not None:
                    masks.setdefault(track_id, _TrackMasks()).add(record['frame'], counts)
    for track_id, *_ in verdicts:
        masks.setdefault(track_id, _TrackMasks())
    return head, verdicts, masks


@contextmanager
def _replacing(path: Path, mode: str) -> Iterator[IO]:
    """A file under a temporary name that takes the place of ``path`` when it is complete."""
    temporary = path.with_name(f'{path.name}.tmp')
    try:
        with open(temporary, mode) as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
