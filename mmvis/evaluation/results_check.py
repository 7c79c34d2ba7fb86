"""Finding what a server would reject, hang on, or silently count as nothing, before a results file is sent.

What the servers do with odd input was read off the evaluation code they run: https://github.com/youtubevos/cocoapi
(YouTube-VIS) and https://github.com/qjy981010/cocoapi (OVIS).
"""
import json
import math
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from mmvis.annotations import read_json
from mmvis.annotations.reader import read_tables
from mmvis.structures.output_file import open_output
from mmvis.structures.rle_check import areas_of_good, measure_strings

from .results_reader import BrokenResults, iterate_results
from .results_repair import as_integer, as_number, as_rle, is_rle

#: More tracks of one video and category than this are not looked at.
_MAX_TRACKS = 100
#: Notes of a kind are kept only so far.
_NOTES = 2
#: Characters of RLE that are measured at once; the temporary arrays take some thirty times as much memory.
_BATCH = 2 << 20
_KEYS = ('video_id', 'category_id', 'score', 'segmentations')


class TargetVideo(NamedTuple):
    """Frame size in pixels and number of frames of a video."""
    height: int
    width: int
    num_frames: int


@dataclass(frozen=True)
class Target:
    """What a results file is for.

    Attributes:
        videos: by id of the annotation file; None: not known, so ids, sizes and lengths are not checked.
        categories: the category table, id -> name.
        source: the annotation file or the benchmark, for the sentences.
    """
    videos: Optional[Dict[Union[int, str], TargetVideo]]
    categories: Dict[int, str]
    source: str


class Finding(NamedTuple):
    """One fault or note. ``entry``: position in the list, None: the file as a whole. ``kind`` groups equal ones."""
    entry: Optional[int]
    kind: str
    sentence: str
    is_fault: bool
    is_mendable: bool = False


@dataclass
class Report:
    """What a check has found. Of every kind all are counted, and the first ``limit`` (None: all) are kept.

    ``num_mended`` values were mended, of them ``num_emptied`` masks without a pixel that became null; ``is_written``:
    the mended file stands; ``is_broken``: the file is no JSON list, or only so far as its entries were counted.
    """
    limit: Optional[int] = None
    findings: List[Finding] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    num_faults: int = 0
    num_mended: int = 0
    num_mendable: int = 0
    num_entries: int = 0
    num_masks: int = 0
    num_emptied: int = 0
    is_written: bool = False
    is_broken: bool = False

    def add(self, entry: Optional[int], kind: str, sentence: str, is_fault: bool = True,
            is_mendable: bool = False) -> None:
        self.counts[kind] += 1
        self.num_faults += is_fault
        if self.limit is None or self.counts[kind] <= (self.limit if is_fault else min(self.limit, _NOTES)):
            where = '' if entry is None else f'entry {entry}: '
            self.findings.append(Finding(entry, kind, where + sentence, is_fault, is_mendable))

    def lines(self) -> Iterator[str]:
        """The findings as text, with a line for those of a kind that were not kept."""
        shown = Counter(finding.kind for finding in self.findings)
        for finding in sorted(self.findings, key=lambda f: (not f.is_fault, -1 if f.entry is None else f.entry)):
            hint = ' (--fix mends it)' if finding.is_mendable and not self.is_broken else ''
            yield ('fault: ' if finding.is_fault else 'note: ') + finding.sentence + hint
        for kind, count in self.counts.items():
            if count > shown[kind]:
                yield f'... and {count - shown[kind]} more like the {shown[kind]} shown of the kind "{kind}"'


def load_target(ann_file: Union[str, os.PathLike]) -> Target:
    """Videos and category table of an annotation file (with or without annotations).

    Raises:
        InputError: there is no such file, or its videos or categories are malformed; the sentence says which.
    """
    _, videos, categories = read_tables(read_json(ann_file), str(ann_file))
    return Target({video.video_id: TargetVideo(video.height, video.width, video.num_frames) for video in videos},
                  dict(categories), str(ann_file))


def check_results(path: Union[str, os.PathLike], target: Target, fixed_path: Optional[Union[str, os.PathLike]] = None,
                  limit: Optional[int] = 10) -> Report:
    """Check a results file in bounded memory, and mend what can be mended without guessing.

    Args:
        path: the results file.
        target: what it is for.
        fixed_path: write the mended file there (at once, when it is complete). The faults that are left are reported.
        limit: so many findings of a kind are kept; None: all.

    Raises:
        InputError: ``fixed_path`` is the results file or the annotation file.
        InputFileError: the results file cannot be read, or the mended one not be written.
    """
    report = Report(limit)
    checker = _Checker(target, report, mend=fixed_path is not None)
    batches = checker.batches(iterate_results(path, _DECODER))
    try:
        if fixed_path is None:
            for _ in batches:
                pass
        else:
            with open_output(fixed_path, inputs=(path, target.source)) as file:
                _write_list(file, batches)
            report.is_written = True
    except BrokenResults as error:
        report.is_broken = True
        report.add(None, 'not a JSON list', str(error))
        return report
    checker.finish()
    return report


class _TwiceGiven(dict):
    """A JSON object that gives keys twice."""
    twice: Sequence[str] = ()


def _object(pairs: List[Tuple[str, Any]]) -> dict:
    made = dict(pairs)
    if len(made) != len(pairs):
        made = _TwiceGiven(made)
        made.twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


class _Batch:
    """Entries whose RLE strings are measured together."""

    def __init__(self) -> None:
        self.entries: List[Any] = []
        self.strings: List[str] = []
        self.places: List[Tuple[int, list, int, int]] = []  # entry, its segmentations, frame, pixels of the size
        self.num_characters = 0

    def add_mask(self, entry: int, segmentations: list, t: int) -> None:
        rle = segmentations[t]
        self.strings.append(rle['counts'])
        self.places.append((entry, segmentations, t, rle['size'][0] * rle['size'][1]))
        self.num_characters += len(rle['counts'])


class _Checker:
    def __init__(self, target: Target, report: Report, mend: bool) -> None:
        self.target, self.report, self.mend = target, report, mend
        self.given: set = set()                # videos that have an entry
        self.tracks: Counter = Counter()       # (video, category) -> entries
        self.seen: Dict[int, int] = {}         # hash of an entry -> its position

    def batches(self, entries: Iterator[Any]) -> Iterator[List[Any]]:
        """Check entries; what comes out are the entries, mended where asked for and possible."""
        batch = _Batch()
        for position, entry in enumerate(entries):
            self.report.num_entries += 1
            batch.entries.append(entry)
            self.entry(position, entry, batch)
            if batch.num_characters > _BATCH:
                self.measure(batch)
                yield batch.entries
                batch = _Batch()
        self.measure(batch)
        yield batch.entries

    def fault(self, position: int, kind: str, sentence: str) -> None:
        self.report.add(position, kind, sentence)

    def mendable(self, position: int, kind: str, sentence: str, is_fault: bool = True) -> bool:
        """Report what can be mended, or count it as mended. Returns whether to mend it."""
        if self.mend:
            self.report.num_mended += 1
        else:
            self.report.num_mendable += 1
            self.report.add(position, kind, sentence, is_fault, is_mendable=True)
        return self.mend

    def entry(self, position: int, entry: Any, batch: _Batch) -> None:
        if not isinstance(entry, dict):
            return self.fault(position, 'no object', f'it is {_show(entry)}, not an object with {", ".join(_KEYS)}.')
        for key in getattr(entry, 'twice', ()):
            self.fault(position, 'key given twice',
                       f'{_show(key)[1:-1]} is given twice; the server takes the last one.')
        for key in _KEYS:
            if key not in entry:
                self.fault(position, f'{key} missing', f'{key} is missing, so the server rejects the file.')
        if not isinstance(entry.get('bboxes', []), list):
            self.fault(position, 'bboxes', f'bboxes is {_show(entry["bboxes"])}; the server needs a list or no bboxes.')
        video = self.video(position, entry) if 'video_id' in entry else None
        if 'category_id' in entry:
            self.category(position, entry)
        if 'score' in entry:
            self.score(position, entry)
        if 'segmentations' in entry:
            self.segmentations(position, entry, video, batch)
        if all(key in entry for key in _KEYS):
            self.remember(position, entry)

    def video(self, position: int, entry: dict) -> Optional[TargetVideo]:
        value, known = entry['video_id'], self.target.videos
        integer = as_integer(value)
        is_plain = type(value) is int if known is None else type(value) in (int, str) and value in known
        if not is_plain and integer is not None and (known is None or integer in known):
            if self.mendable(position, 'video_id no integer', f'video_id is {_show(value)}, but ids are integers'
                             + (', so the server rejects the file.' if isinstance(value, str) else
                                '; the server takes it.'), isinstance(value, str)):
                entry['video_id'] = integer
            self.given.add(integer)
            return known and known[integer]
        if not is_plain:
            where = self.target.source if known is not None else 'any data set'
            self.fault(position, 'unknown video', f'video_id {_show(value)} is not in {where}, so the server rejects '
                       'the whole file.')
            return None
        self.given.add(value)
        return known and known[value]

    def category(self, position: int, entry: dict) -> None:
        value = entry['category_id']
        if type(value) is int and value in self.target.categories:
            return
        integer = as_integer(value)
        if type(value) is not int and integer in self.target.categories:
            if self.mendable(position, 'category_id no integer', f'category_id is {_show(value)}, but ids are integers'
                             + (', so the server counts the entry as nothing.' if isinstance(value, str) else
                                '; the server takes it.'), isinstance(value, str)):
                entry['category_id'] = integer
            return
        ids = sorted(self.target.categories, key=lambda category_id: (isinstance(category_id, str), category_id))
        hint = ' (are the ids zero-based?)' if value == 0 and not isinstance(value, bool) else ''
        self.fault(position, 'unknown category', f'category_id {_show(value)} is not one of the {len(ids)} ids '
                   f'{_show(ids[0])} to {_show(ids[-1])} of {self.target.source}, so the server counts the entry as '
                   f'nothing{hint}.')

    def score(self, position: int, entry: dict) -> None:
        value = entry['score']
        if type(value) is float:
            if not math.isfinite(value):
                self.fault(position, 'score not finite', f'score is {value}; the server ranks the entry '
                           f'{"first" if value > 0 else "last"}, or rejects the file.')
            return
        number = as_number(value)
        if number is None:
            return self.fault(position, 'score no number', f'score is {_show(value)}, not a number, so the server '
                              'rejects the file.')
        is_text = isinstance(value, str)
        if self.mendable(position, 'score a string' if is_text else 'score an integer',
                         f'score is the {"string" if is_text else "integer"} {_show(value)}'
                         + (', so the server rejects the file.' if is_text else '; the server takes it.'), is_text):
            entry['score'] = number

    def segmentations(self, position: int, entry: dict, video: Optional[TargetVideo], batch: _Batch) -> None:
        frames = entry['segmentations']
        if not isinstance(frames, list):
            return self.fault(position, 'segmentations no list', f'segmentations is {_show(frames)}, not a list with '
                              'an RLE or null per frame, so the server rejects the file.')
        if video is not None:
            self.length(position, entry, frames, video)
        wrong_sizes: List[int] = []
        for t, frame in enumerate(frames):
            if frame is None:
                continue
            if not frame:
                if self.mendable(position, 'absent frame not null', f'segmentations[{t}] is {_show(frame)}; the server '
                                 'takes it for null.', is_fault=False):
                    frames[t] = None
                continue
            if self.mask(position, frames, t, video):
                if video is not None and tuple(frames[t]['size']) != video[:2]:
                    wrong_sizes.append(t)
                batch.add_mask(position, frames, t)
        if wrong_sizes:
            size = frames[wrong_sizes[0]]['size']
            swapped = ' (height and width are swapped)' if tuple(size[::-1]) == video[:2] else ''
            self.fault(position, 'wrong size', f'segmentations[{wrong_sizes[0]}].size is {size}, but the frames of '
                       f'video {_show(entry["video_id"])} are [{video.height}, {video.width}]{swapped}; the server '
                       f'counts such a mask as nothing ({len(wrong_sizes)} in this entry).')
        if not any(frames):
            self.report.add(position, 'no mask', 'segmentations has no mask in any frame: the track can only be a '
                            'false positive.', is_fault=False)

    def mask(self, position: int, frames: list, t: int, video: Optional[TargetVideo]) -> bool:
        """Whether a frame holds a size and a counts string; brings other spellings of an RLE into that form."""
        frame = frames[t]
        if isinstance(frame, dict) and is_rle(frame):
            return True
        rle, problem = as_rle(frame, video)
        if rle is None:
            self.fault(position, 'no RLE', f'segmentations[{t}]{problem}, so the server rejects the file.')
            return False
        self.mendable(position, 'other spelling of an RLE', f'segmentations[{t}]{problem}, so the server rejects the '
                      'file.')
        frames[t] = rle  # without --fix too: what is in it is checked
        return True

    def length(self, position: int, entry: dict, frames: list, video: TargetVideo) -> None:
        num = len(frames)
        if num == video.num_frames:
            return
        fate = 'the OVIS server rejects the file, that of YouTube-VIS does not compare the rest'
        sentence = (f'segmentations has {num} items, but video {_show(entry["video_id"])} has {video.num_frames} '
                    f'frames; {fate}.')
        if num > video.num_frames and _are_empty(frames[video.num_frames:]):
            self.mendable(position, 'too long, empty at the end', sentence)
            del frames[video.num_frames:]
            return
        self.fault(position, 'wrong length', sentence)

    def measure(self, batch: _Batch) -> None:
        """Check the RLE strings of a batch."""
        self.report.num_masks += len(batch.strings)
        pixels = np.array([place[3] for place in batch.places], np.int64)
        areas = areas_of_good(batch.strings, pixels)
        if areas is not None:
            return self.empty_masks(batch, areas == 0)
        found = measure_strings(batch.strings)
        good = found.is_rle & (found.covered == pixels)
        self.empty_masks(batch, good & (found.area == 0))
        for number in np.flatnonzero(~good).tolist():
            position, frames, t, size = batch.places[number]
            where = f'segmentations[{t}].counts'
            if not found.is_rle[number]:
                self.fault(position, 'counts no RLE', f'{where} is not a compressed RLE string '
                           f'({_show(batch.strings[number])}); the server fails or runs into its time limit.')
            else:
                self.fault(position, 'counts do not fill', f'{where} covers {found.covered[number]} pixels, but the '
                           f'size has {size}; the server runs into its time limit.')

    def empty_masks(self, batch: _Batch, is_empty: np.ndarray) -> None:
        """One finding an entry for the masks without a pixel."""
        by_entry: Dict[int, List[int]] = {}
        for number in np.flatnonzero(is_empty).tolist():
            position, frames, t, _ = batch.places[number]
            by_entry.setdefault(position, []).append(t)
            if self.mend:
                frames[t] = None
                self.report.num_emptied += 1
        for position, frames in by_entry.items():
            self.mendable(position, 'empty masks', f'segmentations has {len(frames)} masks without a pixel '
                          f'(segmentations[{frames[0]}] first); null says the same to the server in less '
                          'space.', False)

    def remember(self, position: int, entry: dict) -> None:
        """Count what can be seen only across entries."""
        video, category, frames = entry['video_id'], entry['category_id'], entry['segmentations']
        try:
            self.tracks[video, category] += 1
            key = hash((video, category, entry['score'], tuple(frame and hash(frame['counts']) for frame in frames)))
        except (TypeError, KeyError):  # broken in a way that has been reported
            return
        first = self.seen.setdefault(key, position)
        if first != position and any(frames):
            self.report.add(position, 'repeated', f'it repeats entry {first}: a false positive.', is_fault=False)

    def finish(self) -> None:
        """What can be said of the file as a whole."""
        if self.report.num_emptied:
            self.report.add(None, 'empty masks', f'{self.report.num_emptied} masks without a pixel have become null: AP '
                            'is the same, but HOTA, IDF1 and MOTA, which count an empty mask as a wrong detection, '
                            'change.', is_fault=False)
        if not self.report.num_entries:
            self.report.add(None, 'empty list', 'the list of results is empty, so the server rejects the file.')
            return
        if self.target.videos is not None:
            missing = [video for video in self.target.videos if video not in self.given]
            if missing:
                self.report.add(None, 'missing videos', f'{len(missing)} of {len(self.target.videos)} videos have no '
                                f'result (video {_show(missing[0])} first): all their objects count as missed.', False)
        for (video, category), count in self.tracks.items():
            if count > _MAX_TRACKS:
                self.report.add(None, 'more than 100', f'video {_show(video)} has {count} entries of category '
                                f'{_show(category)}; only the {_MAX_TRACKS} with the highest scores count.', False)


def _are_empty(frames: List[Any]) -> bool:
    """Whether no frame has a pixel."""
    masks = [frame for frame in frames if frame]
    if not all(isinstance(frame, dict) and is_rle(frame) for frame in masks):
        return False
    found = measure_strings([frame['counts'] for frame in masks])
    return bool((found.is_rle & (found.area == 0)).all())


def _show(value: Any) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        text = f'a {type(value).__name__} that is nested too deeply'
    return text if len(text) <= 40 else f'{text[:37]}...'


def _write_list(file: IO[str], batches: Iterator[List[Any]]) -> None:
    separator = '['
    for batch in batches:
        for entry in batch:
            file.write(separator + json.dumps(entry))
            separator = ', '
    file.write('[]' if separator == '[' else ']')
