"""Numbers for the colours of tracks that every tool arrives at, frame by frame or from a results file, which has no ids:
the order in which tracks are first seen, and within a frame the order of their masks as text."""
from typing import Dict, List, Optional, Sequence, Tuple

from mmvis.structures import FrameInstances


class AppearanceOrder:
    """Numbers the tracks of a video from 1 as its frames come."""

    def __init__(self) -> None:
        self._numbers: Dict[int, int] = {}
        self._count = 0

    def numbers(self, frame: FrameInstances) -> List[int]:
        """A number for each row of the next frame; 0 for a track that had no pixel so far, which has no colour yet."""
        fresh: Dict[str, List[int]] = {}
        for track_id, rle in zip(frame.track_ids.tolist(), frame.masks):
            if rle is not None and track_id not in self._numbers:
                fresh.setdefault(rle['counts'], []).append(track_id)
        for counts in sorted(fresh):
            self._count += 1
            self._numbers.update(dict.fromkeys(fresh[counts], self._count))
        return [self._numbers.get(track_id, 0) for track_id in frame.track_ids.tolist()]


def number_tracks(first_masks: Sequence[Optional[Tuple[int, str]]]) -> List[int]:
    """The same numbers for the tracks of a whole video.

    Args:
        first_masks: frame and counts of the first mask with a pixel of each; None for a track that is never seen.
    """
    order = {key: number for number, key in enumerate(sorted(set(filter(None, first_masks))), start=1)}
    return [order.get(key, len(order) + 1) for key in first_masks]
