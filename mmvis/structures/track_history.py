"""One verdict a track, from the frames in which it was shown and the entries of the results."""
from dataclasses import dataclass
from typing import Dict, List, Sequence

from .frame_instances import FrameInstances
from .video_result import TrackScore


@dataclass(frozen=True)
class TrackVerdict:
    """What is said of one object of a video.

    Attributes:
        track_id: as in the frames.
        label, score: its class and confidence for the whole video: of its entries the one with the highest score.
        first_frame, last_frame: 0-based, in which it was seen first and last.
        num_frames: in how many it was seen.
    """
    track_id: int
    label: int
    score: float
    first_frame: int
    last_frame: int
    num_frames: int


class TrackHistory:
    """Takes the frames of a video in any order and remembers three numbers a track."""

    def __init__(self) -> None:
        self._seen: Dict[int, List[int]] = {}  # first, last, number of frames

    def add(self, frame: FrameInstances) -> FrameInstances:
        """Take the tracks that have a pixel in a frame; gives the frame back."""
        number = frame.frame_idx
        for track_id, rle in zip(frame.track_ids.tolist(), frame.masks):
            if rle is not None:
                first, last, count = self._seen.get(track_id, (number, number, 0))
                self._seen[track_id] = [min(first, number), max(last, number), count + 1]
        return frame

    def verdicts(self, entries: Sequence[TrackScore]) -> List[TrackVerdict]:
        """One verdict for each track that was seen and has an entry, by falling score."""
        best: Dict[int, TrackScore] = {}
        for entry in entries:
            if entry.track_id not in best or entry.score > best[entry.track_id].score:
                best[entry.track_id] = entry
        found = [TrackVerdict(track_id, entry.label, float(entry.score), *self._seen[track_id])
                 for track_id, entry in best.items() if track_id in self._seen]
        return sorted(found, key=lambda verdict: -verdict.score)
