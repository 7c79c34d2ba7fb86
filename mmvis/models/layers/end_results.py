"""The frames and verdicts of the systems that choose their tracks when the video ends (see ``mmvis.records``)."""
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
from torch import Tensor

from mmvis.records import EndRanking, MaskStore, Record, best_of_row, enlarge_and_encode
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from .mask_packing import LateFrame, as_numpy
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
        late: frames that are still on their way from a GPU, at most two between calls.
    """
    video: VideoInfo
    ranking: EndRanking
    live: bool = False
    live_score: float = 0.
    masks: MaskStore = field(default_factory=MaskStore)
    shown: Dict[int, Record] = field(default_factory=dict)
    num_frames: int = 0
    network: Optional[Tuple[int, int]] = None
    late: List[LateFrame] = field(default_factory=list)

    def add(self, logits: Tensor, masks: Tensor) -> List[FrameInstances]:
        """Take the rows of the next frame: class logits [rows, K + 1], mask logits [rows, h4, w4]. Returns the frame of
        a live source; else nothing is final yet."""
        results = []
        if self.live:
            with stage('association'):
                self.ranking.add(logits.float().cpu().numpy())
            with stage('masks'):
                results.append(self._live_frame(masks))
        else:
            with stage('masks'):
                self._keep(logits, masks)
        self.num_frames += 1
        return results

    def _keep(self, logits: Tensor, masks: Tensor) -> None:
        if masks.device.type != 'cuda':
            self.ranking.add(logits.float().cpu().numpy())
            self.masks.add(as_numpy(masks.cpu()))
            return
        # In this order the one wait is for the frame before the last.
        newest = LateFrame(logits, masks)
        self._take_late(1)
        if self.late:
            self.late[0].ask()
        self.late.append(newest)

    def _take_late(self, left: int) -> None:
        """Keep the frames that have come, which were asked for, until ``left`` are on their way."""
        while len(self.late) > left:
            logits, packed = self.late.pop(0).take()
            self.ranking.add(logits)
            self.masks.add_packed(packed)

    def finish(self) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """All frames, with the masks of the rows that are among the best records, and these records; of a live source
        no frame, and the last verdict on every row that was shown."""
        if self.live:
            verdicts = sorted(self.shown.values(), key=lambda record: -record.score)
            return iter(()), [TrackScore(*record) for record in verdicts]
        if self.late:
            self.late[-1].ask()
        self._take_late(0)
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


@dataclass
class CarriedState(RowsState):
    """One video on its way, whose rows are queries that go from frame to frame (VidEoMT, PMT, LVMT).

    Attributes:
        queries: float32 [1, Q, C] that enter the next frame.
    """
    queries: Optional[Tensor] = None

    def advance(self, features: Any, patch_size: int, frame_outputs: Callable) -> List[FrameInstances]:
        """Take T frames. Nothing is final yet; of a live source all T frames are.

        Args:
            features: ``Tokens`` of the frames.
            frame_outputs: from queries, tokens, rotation and size of one frame to the queries of the next one, class
                logits [1, Q, K + 1] and mask logits [1, Q, h4, w4].
        """
        rows, columns = features.size
        self.network = (rows * patch_size, columns * patch_size)
        results = []
        for tokens in features.x.split(1):
            with stage('network'):
                self.queries, logits, masks = frame_outputs(self.queries, tokens, features.rotation, features.size)
            results += self.add(logits[0], masks[0])
        return results
