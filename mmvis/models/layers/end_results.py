"""The frames and verdicts of the systems that choose their tracks when the video ends (see ``mmvis.records``)."""
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from mmvis.records import EndRanking, MaskStore, Record, best_of_row, enlarge_and_encode
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from .stages import stage


@dataclass
class RowsState:
    """One video on its way; a row (a query slot) is one track through all frames.

    Attributes:
        ranking: of the classes of the rows over the frames so far.
        live: whether frames are final at once.
        live_score: least probability of what a live source shows.
        masks: mask logits of all frames so far (of a live source: none).
        shown: of a live source, the last record of every row that was shown.
        num_frames: taken so far.
        network: (H, W), padded size.
    """
    video: VideoInfo
    ranking: EndRanking
    live: bool = False
    live_score: float = 0.
    masks: MaskStore = field(default_factory=MaskStore)
    shown: Dict[int, Record] = field(default_factory=dict)
    num_frames: int = 0
    network: Optional[Tuple[int, int]] = None

    def add(self, logits: Tensor, masks: Tensor) -> List[FrameInstances]:
        """Take the rows of the next frame: class logits [rows, K + 1], mask logits [rows, h4, w4]. Returns the frame of
        a live source; else nothing is final yet."""
        results = []
        with stage('association'):
            self.ranking.add(logits.float().cpu().numpy())
        with stage('masks'):
            if self.live:
                results.append(self._live_frame(masks))
            else:
                self.masks.add(_as_numpy(masks))
        self.num_frames += 1
        return results

    def finish(self) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """All frames, with the masks of the rows that are among the best records, and these records; of a live source
        no frame, and the last verdict on every row that was shown."""
        if self.live:
            verdicts = sorted(self.shown.values(), key=lambda record: -record.score)
            return iter(()), [TrackScore(*record) for record in verdicts]
        records = self.ranking.records()
        return self._frames(best_of_row(records)), [TrackScore(*record, born=0) for record in records]

    def _frames(self, records: List[Record]) -> Iterator[FrameInstances]:
        for frame_idx, masks in enumerate(self.masks.frames([record.row for record in records])):
            with stage('encode'):
                yield self._frame(frame_idx, records, masks)

    def _live_frame(self, masks: Tensor) -> FrameInstances:
        """What leads so far, in the frame at hand."""
        records = best_of_row(self.ranking.records(self.live_score))
        self.shown.update((record.row, record) for record in records)
        rows = [record.row for record in records]
        return self._frame(self.num_frames, records, dict(zip(rows, masks[rows].float().cpu().numpy())))

    def _frame(self, frame_idx: int, records: List[Record], masks: Dict[int, np.ndarray]) -> FrameInstances:
        """The chosen rows that have a pixel in a frame; ``masks`` by row, float32 [h4, w4]."""
        found = [(record, enlarge_and_encode(masks[record.row], self.video.ori_shape, self.network,
                                             self.video.img_shape)) for record in records if record.row in masks]
        found = [(record, *encoded) for record, encoded in found if encoded is not None]
        if not found:
            return FrameInstances(frame_idx)
        chosen, rles, boxes = zip(*found)
        ids, labels, scores = (np.array(x) for x in zip(*chosen))
        return FrameInstances(frame_idx, ids, labels, scores.astype(np.float32), np.stack(boxes), list(rles))


def _as_numpy(logits: Tensor) -> np.ndarray:
    """Logits in the type in which they are; bfloat16, which NumPy lacks, as its bits (uint16)."""
    logits = logits.cpu()
    return logits.view(torch.uint16).numpy() if logits.dtype == torch.bfloat16 else logits.numpy()
