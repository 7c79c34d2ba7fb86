"""The results file of a run: written frame by frame, resumable; one process needs no more than this."""
import itertools
import json
import logging
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Callable, Collection, Dict, Iterator, List, Optional, Sequence, Set

from mmvis.errors import InputError, InputFileError, of_user_path
from mmvis.log import print_log
from mmvis.structures import FrameInstances, TrackScore, VideoInfo, VideoResult
from mmvis.structures.output_file import check_output, open_output

from . import journal
from .entries import entry_texts, read_video
from .journal import Journal, Part, Piece, VideoId


class ResultsFile:
    """Takes the frames of videos and leaves a results file.

    Use: ``open``; for each video not in ``finished``: ``start``, ``add`` a frame at a time, ``end``; then ``join``; and
    ``close`` in any case. From ``open`` to ``close`` no other run can write this file.

    The file is a JSON list of ``{"video_id", "score", "category_id", "segmentations"}``, videos in the order of the
    dataset, tracks in the order of the model's verdicts, ``segmentations`` with an RLE or null for every frame
    (the format of the YouTube-VIS and OVIS servers).

    Finished videos of a run of another description are never removed: its journals become ``<path>.aside.<n>``, and a
    run of their description takes them up again.

    Args:
        path: the results file.
        video_ids: ids of the annotation file, in the order of the dataset.
        category_ids: category id of the annotation file of each label.
        run: JSON-able description of what decides the results (data, checkpoint, settings). What a killed run left is
            used only if its description is equal.
        source_of: what the frames of a video are recognised by, JSON-able; a finished video whose frames are others
            now is run again.
    """

    def __init__(self, path: str, video_ids: Sequence[VideoId], category_ids: Sequence[int],
                 run: Optional[Dict[str, Any]] = None, source_of: Optional[Callable[[VideoId], Any]] = None
                 ) -> None:
        self.path = Path(path)
        self.video_ids = list(video_ids)
        self.category_ids = list(category_ids)
        self.run = json.loads(json.dumps(run or {}))
        self.source_of = source_of or (lambda video_id: None)
        self.finished: List[VideoId] = []
        # beside the file that is really written, so that two names of it have one lock
        self._base = Path(os.path.realpath(path)) if os.path.islink(path) else self.path
        self._pieces: Dict[VideoId, Piece] = {}
        self._stale: Set[Piece] = set()
        self._lock: Optional[IO] = None
        self._journal: Optional[Journal] = None
        self._video_id: Optional[VideoId] = None

    @property
    def kept_in(self) -> str:
        """Where finished videos are until the results stand."""
        return f'{self._base}.part.*'

    def open(self) -> None:
        """Take up what a killed run of the same description left, by whatever number of processes.

        Raises:
            InputError: another run writes this file.
            InputFileError: it cannot be written.
        """
        self._begin(self._look())

    def start(self, video: VideoInfo) -> None:
        self._video_id = video.video_id
        with self._explain():
            self._journal.start(video, self.source_of(video.video_id))

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
        return read_video(self._pieces[video_id], video_id)

    def close(self) -> None:
        """Let go of the journal and the lock; what is in the journal stays for the next run."""
        self._close_journal()
        if self._lock is not None:
            journal.release(self._lock, self._lock_path)
            self._lock = None

    def join(self) -> None:
        """Join the journals of all processes into the results file and remove them; then as ``close``."""
        self._close_journal()
        with self._explain():
            self._take_lock()
            self._join()
            self.close()

    def _look(self) -> Dict[VideoId, Piece]:
        """The finished videos of runs of this description, with the lock taken."""
        try:
            with of_user_path(self.path, 'cannot be written'):
                check_output(self.path)
                self._take_lock()
                return self._take_up()
        except Exception:
            self.close()
            raise

    def _begin(self, pieces: Dict[VideoId, Piece], rank: int = 0) -> None:
        """Go on behind the finished videos, with the journal of process ``rank``."""
        self._pieces = pieces
        self.finished = [video_id for video_id in self.video_ids if video_id in pieces]
        if self.finished:
            print_log(f'Going on with {self.path}: {len(self.finished)} of {len(self.video_ids)} videos are finished.')
        with self._explain():
            self._journal = Journal(self._part(rank), self.run)

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    @property
    def _lock_path(self) -> Path:
        return self._base.with_name(f'{self._base.name}.lock')

    def _take_lock(self) -> None:
        if self._lock is None:
            self._lock = journal.hold(self._lock_path, self.path)

    def _join(self) -> None:
        parts = [part for part in map(journal.scan, self._files('part')) if part.run == self.run]
        found: Dict[VideoId, Piece] = {}
        for part in parts:
            found.update((video_id, piece) for video_id, piece in part.pieces.items() if piece not in self._stale)
        missing = [video_id for video_id in self.video_ids if video_id not in found]
        if missing:
            _tell_damaged(parts, found)
            raise InputError(f'{self.path}: {len(missing)} of {len(self.video_ids)} videos are not finished '
                             f'(video {missing[0]} first); give the same command again to go on.')
        self._write([found[video_id] for video_id in self.video_ids])
        for part in parts:
            part.path.unlink()
        others = self._files('aside')
        if others:
            print_log(f'{_names(others)}: finished videos of other runs into {self.path}, set aside; remove what is '
                      'not wanted any more.')

    def _write(self, pieces: List[Piece]) -> None:
        """The results of all videos, in their order; on the disk before the journals go."""
        with open_output(self.path, durable=True) as file:
            file.write('[')
            texts = (text for piece in pieces for text in entry_texts(piece, self.category_ids))
            for number, entry in enumerate(texts):
                file.write(', ' if number else '')
                file.writelines(entry)
            file.write(']')

    def _take_up(self) -> Dict[VideoId, Piece]:
        """The finished videos of runs of this description; what others have left is set aside."""
        found = [journal.scan(path) for path in self._files('part')]
        parts = [part for part in found if part.run == self.run]
        self._set_aside([part for part in found if part.run != self.run])
        for path in self._files('aside'):
            if journal.read_run(path) == self.run:
                parts.append(journal.scan(path.rename(self._free_name('part'))))
        pieces: Dict[VideoId, Piece] = {}
        known = set(self.video_ids)
        for part in parts:
            journal.cut(part.path, part.size)
            for video_id, piece in part.pieces.items():
                if video_id not in pieces and video_id in known:
                    if piece.source == json.dumps(self.source_of(video_id)):
                        pieces[video_id] = piece
                    else:
                        self._stale.add(piece)
        _tell_damaged(parts, pieces)
        return pieces

    def _set_aside(self, parts: List[Part]) -> None:
        """Make room for the journals of this run. One without a finished video holds nothing that anybody could use."""
        by_run: Dict[str, List[Part]] = {}
        for part in parts:
            if part.pieces or part.damaged or (part.run is None and _has_content(part)):
                by_run.setdefault(json.dumps([part.format, part.run]), []).append(part)
            else:
                part.path.unlink()
        for own in by_run.values():
            names = [part.path.rename(self._free_name('aside')) for part in own]
            was = 'was' if len(own) == 1 else 'were'
            if own[0].run is not None:
                other = ', '.join(journal.differences(own[0].run, self.run))
                what = (f'{was} left by another run (differs in: {other}): its {sum(len(p.pieces) for p in own)} '
                        f'finished videos are')
                hint = ', and the command of that run takes them up again'
            elif own[0].format is not None:
                what, hint = f'{was} left by another version of mmvis, which alone can go on with it:', ''
            else:
                what, hint = f'{was} damaged in the first line or is no journal of mmvis:', ''
            print_log(f'{_names([p.path for p in own])} {what} set aside as {_names(names)}{hint}.',
                      level=logging.WARNING)

    def _part(self, rank: int) -> Path:
        return self._base.with_name(f'{self._base.name}.part.{rank}')

    def _files(self, kind: str) -> List[Path]:
        """The regular files ``<path>.<kind>.<digits>``, by number."""
        pattern = re.compile(rf'{re.escape(self._base.name)}\.{kind}\.([0-9]+)')
        with os.scandir(self._base.parent) as entries:
            names = {entry.name: pattern.fullmatch(entry.name) for entry in entries
                     if entry.is_file(follow_symlinks=False)}
        found = sorted((int(match[1]), name) for name, match in names.items() if match)
        return [self._base.with_name(name) for _, name in found]

    def _free_name(self, kind: str) -> Path:
        """``<path>.<kind>.<n>`` that nothing has, links and folders included."""
        names = (self._base.with_name(f'{self._base.name}.{kind}.{number}') for number in itertools.count(1))
        return next(path for path in names if not os.path.lexists(path))

    @contextmanager
    def _explain(self) -> Iterator[None]:
        """A full disk or a folder without permission: say what is kept and how to go on."""
        try:
            yield
        except OSError as error:
            what = str(error) if isinstance(error, InputFileError) else \
                f'Cannot write {error.filename or self.path}: {error.strerror or error}.'
            raise InputFileError(f'{what} Finished videos are kept in {self.kept_in}; put this right and give the same '
                                 'command again to go on.') from error


def _names(paths: Sequence[Path]) -> str:
    return ', '.join(map(str, paths))


def _has_content(part: Part) -> bool:
    """Whether a file that is no journal of this format holds anything but the first line of one."""
    with open(part.path, 'rb') as file:
        first, more = file.readline(), file.read(1)
    is_head = first.startswith(b'{"format"') and (part.format is not None or not first.endswith(b'\n'))
    return bool(more) or not (is_head or not first)


def _tell_damaged(parts: Sequence[Part], finished: Collection[VideoId]) -> None:
    """One line a journal on the videos in it that a disk has damaged, if they are not finished elsewhere."""
    for part in parts:
        videos = [video_id for video_id in part.damaged if video_id not in finished]
        if videos:
            named = ', '.join('?' if video_id is None else str(video_id) for video_id in videos[:10])
            print_log(f'{part.path}: {len(videos)} finished videos are damaged ({named}) and are run again.',
                      level=logging.WARNING)
