"""The frames and verdicts of the segmenters of single images: nothing goes from one image to the next."""
from dataclasses import dataclass, field
from typing import Iterator, List, Tuple

import numpy as np
from torch import Tensor

from mmvis.ops.transfer import masks_to_host
from mmvis.structures import FrameInstances, TrackScore, VideoInfo, encode_mask

from .query_instances import query_instances
from .stages import stage


@dataclass
class ImagesState:
    """Images on their way.

    Attributes:
        num_instances: most of an image.
        verdicts: of all instances so far.
        num_frames: images so far.
    """
    video: VideoInfo
    num_instances: int = 100
    verdicts: List[TrackScore] = field(default_factory=list)
    num_frames: int = 0

    def add(self, logits: Tensor, masks: Tensor, network: Tuple[int, int]) -> FrameInstances:
        """The instances of the next image, each with an id of its own.

        Args:
            logits: [Q, K + 1]; masks: [Q, h4, w4], logits; network: (H, W), padded size.
        """
        with stage('masks'):
            found = query_instances(logits, masks, network, self.video.img_shape, self.video.ori_shape,
                                    self.num_instances)
            full, *others = masks_to_host(found.masks, found.scores, found.labels)
            scores, labels = (x.numpy() for x in others)
        frame_idx = self.num_frames
        self.num_frames += 1
        with stage('encode'):
            kept = np.flatnonzero(full.any((1, 2)))
            if not len(kept):
                return FrameInstances(frame_idx)
            ids = len(self.verdicts) + np.arange(len(kept))
            self.verdicts += [TrackScore(*x) for x in zip(ids.tolist(), labels[kept].tolist(), scores[kept].tolist())]
            return FrameInstances(frame_idx, ids, labels[kept], scores[kept], np.stack([_box(full[i]) for i in kept]),
                                  [encode_mask(full[i]) for i in kept])

    def finish(self) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """No frame is owed; the verdicts on all instances."""
        return iter(()), self.verdicts


def _box(mask: np.ndarray) -> np.ndarray:
    """Float32 [4], x1 y1 x2 y2 of a bool mask [h, w], x2 and y2 one past the last pixel."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
