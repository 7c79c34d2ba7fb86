"""A program of someone who has installed mmvis, for the type checker: what he calls, and of what type the answers are.

It is checked, not run. Without ``py.typed`` and annotations that hold, the names below would be of any type.
"""
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple, Union

import numpy as np
from typing_extensions import assert_type

from mmvis.annotations import AnnotationIndex, load_annotations
from mmvis.apis import FrameSource, VISPredictor, open_source
from mmvis.errors import InputError
from mmvis.evaluation import Evaluation, Rules, evaluate_results
from mmvis.formats import LabeledVideo, VideoSet, coco
from mmvis.structures import RLE, FrameInstances, TrackScore, TrackVerdict, VideoInfo, VideoResult, decode_rle


def follow(path: str) -> Dict[int, int]:
    """How many pixels each track of a video has."""
    predictor = VISPredictor('condinst_iai_r18_sample.py', 'condinst_iai_sample.pth', device='cpu')
    assert_type(predictor.lag, Optional[int])
    assert_type(predictor.run(path), Iterator[Tuple[int, FrameInstances]])
    pixels: Dict[int, int] = {}
    for _, instances in predictor.run(path):
        for track_id, rle in zip(instances.track_ids.tolist(), instances.masks):
            assert_type(rle, Optional[RLE])
            if rle is not None:
                pixels[track_id] = pixels.get(track_id, 0) + int(decode_rle(rle).sum())
    assert_type(predictor.tracks, List[TrackVerdict])
    return pixels


def frame_by_frame(path: str, video_id: Union[int, str] = 'street') -> VideoResult:
    predictor = VISPredictor('ifc_r18_sample.py', 'ifc_sample.pth')
    source = open_source(path)
    assert_type(source, FrameSource)
    predictor.reset(video_id)
    frames: List[FrameInstances] = []
    for image in source:
        assert_type(predictor.step(image), Optional[FrameInstances])
    video = predictor.video
    assert_type(video, Optional[VideoInfo])
    if video is None:
        raise InputError(f'{path} has no frame.')
    rest, scores = predictor.finish()
    assert_type(scores, List[TrackScore])
    return VideoResult.from_frames(video, frames + list(rest), scores)


def files(annotations: str, results: str) -> List[LabeledVideo]:
    assert_type(load_annotations(annotations), AnnotationIndex)
    assert_type(evaluate_results(results, annotations, rules=Rules()), Evaluation)
    videos: VideoSet = coco.read(Path(annotations), None)
    image = np.zeros((4, 6, 3), np.uint8)
    assert_type(VISPredictor('eomt_vit_tiny_sample.py', 'x.pth').segment(image), FrameInstances)
    return videos.videos
