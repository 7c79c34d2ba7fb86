"""What a page shows: a data set with the results files of it, read and evaluated in the background."""
import copy
import importlib
import os
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from mmvis.annotations import AnnotationIndex, load_annotations, read_json
from mmvis.annotations.kept import MIN_CACHED_BYTES
from mmvis.annotations.reader import Video, read_tables
from mmvis.errors import InputError, shown
from mmvis.visualization.chosen import choose_videos, frame_folder

from .pictures import Pictures
from .process import messages, told

#: Pairs of files and thresholds whose comparison is kept in memory.
_COMPARISONS = 16


@dataclass
class ResultsFile:
    """One results file.

    Attributes:
        name: as the page shows it.
        state: 'reading', 'ready' or 'damaged'; ``sentence`` says why.
        drawing: its tracks by video, once it is ready.
        overall, videos: the evaluator's numbers, of all videos and by video id, as far as they are computed.
        evaluated: no more numbers will come.
    """
    name: str
    path: str
    state: str = 'reading'
    sentence: str = ''
    drawing: Any = None
    overall: Dict[str, Any] = field(default_factory=dict)
    videos: Dict[Any, Dict[str, Any]] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)
    evaluated: bool = False


@dataclass
class Comparison:
    """Two results files: ``compare_video`` by video id, as far as it is computed."""
    videos: Dict[Any, Dict[str, Any]] = field(default_factory=dict)
    sentence: str = ''
    done: threading.Event = field(default_factory=threading.Event)


class Sources(NamedTuple):
    """What can be drawn over one video: a title, whether it is the truth, names of labels, and tracks of each."""
    titles: List[str]
    are_truth: List[bool]
    classes: List[List[str]]
    tracks: List[List[Any]]


class Session:
    """A data set and results files of it. The table of videos is read at once, the rest by ``start``.

    Args:
        ann_file: annotation file, with or without annotations.
        results: results files, none or several.
        frames: folder of the frames, or the one above its JPEGImages.
        wanted: ids or folder names of the videos to be shown; by default all.

    Raises:
        InputError: the annotation file cannot be read, has no file names or none of the wanted videos.
    """

    def __init__(self, ann_file: str, results: Sequence[str], frames: str, wanted: Optional[Sequence[str]] = None) -> None:
        data = read_json(ann_file)
        _, videos, self.categories = read_tables(data, ann_file)
        for video in videos:
            if video.file_names is None:
                raise InputError(f"{ann_file}: video {shown(video.video_id)} has no 'file_names'.")
        chosen = choose_videos(videos, wanted, ann_file)
        if not os.path.isdir(frames):
            raise InputError(f'{frames}: a folder with the frames is needed, and this is none.')
        self.ann_file = ann_file
        self.has_truth = bool(data.get('annotations'))
        self.videos: List[Video] = [video for video, _ in chosen]
        self.names = [name for _, name in chosen]
        self.pictures = Pictures(frame_folder(frames, self.videos[0]))
        self.index: Optional[AnnotationIndex] = None
        self.truth: Any = None
        self.failure = ''
        self.results = [ResultsFile(name, path) for name, path in zip(file_titles(results), results)]
        self.version = 0
        self.comparisons: Dict[Tuple[int, int, float], Comparison] = {}
        self._sources = lru_cache(maxsize=64)(self._make_sources)
        self._change = threading.Condition()
        self._is_kept = threading.Event()

    # -- in the background

    def start(self) -> None:
        """Read and evaluate from now on, in threads that end with the program."""
        if not self.has_truth or os.path.getsize(self.ann_file) < MIN_CACHED_BYTES:
            self._is_kept.set()
        for work in (self._read, self._evaluate):
            threading.Thread(target=work, daemon=True).start()

    @property
    def complete(self) -> bool:
        """Nothing will change any more."""
        read = self.truth is not None and all(one.state != 'reading' for one in self.results)
        return bool(self.failure) or read and all(one.evaluated for one in self.results)

    def wait(self) -> None:
        """Until everything is read and computed."""
        with self._change:
            self._change.wait_for(lambda: self.complete)

    def _changed(self) -> None:
        with self._change:
            self.version += 1
            self._change.notify_all()

    def _read(self) -> None:
        try:
            # brings the evaluation along, whose libraries take seconds to load
            tracks = importlib.import_module('mmvis.visualization.tracks')
            self._is_kept.wait()  # a large annotation file is turned into arrays by the other process
            self.index = load_annotations(self.ann_file, note=lambda sentence: None)
            known = {video.video_id for video in self.videos}
            self.truth = tracks.read_ground_truth(self.index, known)
        except Exception as error:
            self.failure = told(error)
            return self._changed()
        self._changed()
        for one in self.results:
            try:
                one.drawing = tracks.read_results(one.path, self.index, known, float('-inf'))
                one.state = 'ready'
            except Exception as error:  # told on the page: the others go on
                one.state, one.sentence = 'damaged', told(error)
            self._changed()

    def _evaluate(self) -> None:
        try:
            if self.has_truth and (self.results or not self._is_kept.is_set()):
                paths = [one.path for one in self.results]
                for kind, number, part in messages('evaluate_files', self.ann_file, paths):
                    self._take(kind, number, part)
        except EOFError:  # killed, for want of memory
            for one in self.results:
                one.notes.append('The process that computes the numbers has ended before its work.')
        finally:
            self._is_kept.set()
            for one in self.results:
                one.evaluated = True
            self._changed()

    def _take(self, kind: str, number: int, part: Any) -> None:
        if kind == 'index':
            self._is_kept.set()
            return
        one = self.results[number]
        if kind == 'failure':
            one.notes.append(part)
        else:
            one.overall.update(part['overall'])
            one.notes += part.get('notes', [])
            one.overall.update({key: part[key] for key in ('categories',) if key in part})
            for video_id, numbers in part['videos']:
                one.videos.setdefault(video_id, {}).update(numbers)
        self._changed()

    # -- what is asked for

    def sources(self, number: int) -> Sources:
        """What there is to be drawn over a video. All colours go by one file: objects have the number of the track of the
        first results file that covers them, and so have the tracks of the other files."""
        return self._sources(number, self.version)

    def _make_sources(self, number: int, version: int) -> Sources:
        match_numbers = importlib.import_module('mmvis.visualization.tracks').match_numbers
        video_id = self.videos[number].video_id
        ready = [one for one in self.results if one.state == 'ready']
        tracks = [[copy.copy(track) for track in one.drawing.tracks.get(video_id, [])] for one in ready]
        classes = [one.drawing.classes for one in ready]
        for own in tracks[1:]:
            match_numbers(own, tracks[0])
        titles, are_truth = [one.name for one in ready], [False] * len(ready)
        if self.truth is not None and self.has_truth:
            objects = [copy.copy(track) for track in self.truth.tracks.get(video_id, [])]
            if tracks:
                match_numbers(objects, tracks[0])
            titles, are_truth = ['ground truth', *titles], [True, *are_truth]
            classes, tracks = [self.truth.classes, *classes], [objects, *tracks]
        return Sources(titles, are_truth, classes, tracks)

    def compare(self, first: int, second: int, thresh: float) -> Comparison:
        """The comparison of two results files, as far as it is computed; the first call begins it."""
        key = min(first, second), max(first, second), thresh
        with self._change:
            if key not in self.comparisons:
                while len(self.comparisons) >= _COMPARISONS:
                    self.comparisons.pop(next(iter(self.comparisons)))
                self.comparisons[key] = Comparison()
                threading.Thread(target=self._compare, args=key, daemon=True).start()
            return self.comparisons[key]

    def _compare(self, first: int, second: int, thresh: float) -> None:
        found = self.comparisons[first, second, thresh]
        try:
            for kind, _, part in messages('compare_files', self.results[first].path, self.results[second].path, thresh):
                if kind == 'failure':
                    found.sentence = part
                else:
                    found.videos.update(part)
        except EOFError:
            found.sentence = 'The process that compares the files has ended before its work.'
        finally:
            found.done.set()


def file_titles(paths: Sequence[str]) -> List[str]:
    """A short name for each file: as much of the end of its path as tells it from the others."""
    parts = [os.path.abspath(path).split(os.sep) for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ['/'.join(own[-length:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return [f'{path} ({number})' for number, path in enumerate(paths, start=1)]
