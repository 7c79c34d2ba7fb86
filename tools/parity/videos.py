"""What the recipes of several systems share: videos through a model, as the parity files list their results."""
import json
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from torch import Tensor

from mmvis.converters import convert_state_dict
from mmvis.datasets import VISDataset
from mmvis.engine.loops import feed, run_videos
from mmvis.errors import InputError
from mmvis.evaluation.results_writer import ResultsWriter
from mmvis.frame_sample import FrameSample
from mmvis.models import VISModel
from mmvis.models.trackers import AssociationTracker, TrackMemory, visible
from mmvis.structures import FrameInstances, VideoInfo, decode_rle

from . import fill
from .compare import Stage

#: Sizes (h, w) of the small clip of the recipes: original, network input, padded.
ORI_SHAPE, IMG_SHAPE, PAD_SHAPE = (200, 304), (100, 152), (128, 160)


def load_official(model: VISModel, state_dict: Dict[str, Tensor]) -> VISModel:
    """The model in eval mode with an official state dict, which must fit to the last tensor, through the converter."""
    converted, report = convert_state_dict(state_dict, model)
    if report.missing or report.dropped or report.unexpected:
        raise InputError(f'The official state dict does not fit:\n{report}')
    model.load_state_dict(converted, strict=True)
    return model.eval()


def network_input(model: VISModel, frames: np.ndarray, img_shape: Tuple[int, int]) -> Tensor:
    """uint8 [T, h, w, 3] -> resized to ``img_shape``, normalised and padded."""
    resized = np.stack([cv2.resize(x, img_shape[::-1], interpolation=cv2.INTER_LINEAR) for x in frames])
    return model.data_preprocessor(dict(inputs=torch.from_numpy(resized).permute(0, 3, 1, 2)))['inputs']


def run_video(model: VISModel, video: VideoInfo, clip: Tensor) -> tuple:
    """Frames and verdicts of a video given frame by frame."""
    state = model.start(video)
    frames = [frame for image in clip for frame in model.step(state, image[None])]
    rest, verdicts = model.finish(state)
    return [*frames, *rest], verdicts


def frame_entries(frame: FrameInstances) -> List[dict]:
    """The objects of a frame by id, as the parity files list them."""
    return [dict(id=int(frame.track_ids[i]), label=int(frame.labels[i]), bbox=frame.boxes[i].tolist(),
                 score=float(frame.scores[i]), mask_area=int(decode_rle(frame.masks[i]).sum()), rle=frame.masks[i])
            for i in np.argsort(frame.track_ids)]


def track_frame(tracker: AssociationTracker, memory: TrackMemory, boxes: Tensor, scores: Tensor, labels: Tensor,
                embeddings: Tensor) -> dict:
    """One frame through the association: detections, comparison, ids and memory as the parity files list them."""
    log_probs = comparison = None
    if len(memory) and len(boxes):
        log_probs, comparison = (x.tolist() for x in tracker.compare(memory, boxes, scores, labels, embeddings))
    ids = tracker.update(memory, boxes, scores, labels, embeddings)
    scored = torch.cat([boxes, scores[:, None]], dim=1).tolist()
    kept = {int(ids[i]): dict(label=int(labels[i]), bbox=scored[i]) for i in visible(ids)}
    known = torch.cat([memory.boxes, memory.scores[:, None]], dim=1).tolist() if len(memory) else None
    return dict(det=scored, labels=labels.tolist(), ids=ids.tolist(), match_logprob=log_probs, comp_scores=comparison,
                kept=kept, memory_boxes=known, memory_labels=memory.labels.tolist() if len(memory) else None)


def results_stages(model: VISModel, salt: str) -> Iterator[Stage]:
    """Two videos from PNG files to the results file, through the dataset class, the loop and the writer."""
    shapes = ((3, 200, 304), (2, 180, 320))
    with tempfile.TemporaryDirectory() as folder:
        dataset = _write_videos(Path(folder), [fill.frames(*shape, salt) for shape in shapes])
        writer = ResultsWriter(str(Path(folder) / 'results.json'), dataset.video_ids, dataset.category_ids)
        writer.open()
        for step in run_videos(model, (pseudo_collate([dataset[i]]) for i in range(len(dataset)))):
            feed(step, [writer])
        writer.join()
        entries = json.loads(writer.path.read_text())
        meta = [_meta(model, dataset, i) for i in range(len(dataset))]
    yield Stage(('results_json', 'recipe'), given=True)
    yield Stage(('results_json', 'meta'), meta)
    yield Stage(('results_json', 'results'), entries)


def _write_videos(folder: Path, clips: Sequence[np.ndarray]) -> VISDataset:
    """A set of clips as PNG files with 40 categories, resized to (152, 100) as the recipes say."""
    videos = []
    for number, clip in enumerate(clips, start=1):
        names = [f'{number}/{t:05d}.png' for t in range(len(clip))]
        (folder / 'JPEGImages' / str(number)).mkdir(parents=True)
        for name, image in zip(names, clip):
            cv2.imwrite(str(folder / 'JPEGImages' / name), image)
        videos.append(dict(id=number, height=clip.shape[1], width=clip.shape[2], length=len(clip), file_names=names))
    categories = [dict(id=i, name=f'class {i}') for i in range(1, 41)]
    (folder / 'valid.json').write_text(json.dumps(dict(videos=videos, categories=categories, annotations=[])))
    return VISDataset(ann_file=str(folder / 'valid.json'), img_prefix=str(folder / 'JPEGImages'), test_mode=True,
                      box_mode='inclusive', pipeline=[dict(type='ClipResize', scale=(152, 100), rule='mmcv')])


def _meta(model: VISModel, dataset: VISDataset, index: int) -> dict:
    """What the official dataset classes say of a frame, from ours."""
    item = dataset[index]
    video: VideoInfo = item['video']
    padded = model.data_preprocessor(dict(inputs=[item['inputs']]))['inputs']
    return dict(ori_shape=[*video.ori_shape, 3], img_shape=[*video.img_shape, 3], pad_shape=[*padded.shape[-2:], 3],
                is_first=item['frame_idx'] == 0, video_id=dataset.video_ids.index(video.video_id),
                frame_id=item['frame_idx'], scale_factor=video.scale_factor, flip=False)


def ellipse(box: Sequence[float]) -> np.ndarray:
    """uint8 [128, 160]: the filled ellipse inscribed in an inclusive box."""
    x1, y1, x2, y2 = box
    y, x = np.mgrid[0:PAD_SHAPE[0], 0:PAD_SHAPE[1]]
    half_w, half_h = (x2 - x1 + 1) / 2, (y2 - y1 + 1) / 2
    return ((((x - (x1 + x2) / 2) / half_w) ** 2 + ((y - (y1 + y2) / 2) / half_h) ** 2) <= 1).astype(np.uint8)


def training_pairs(given: Dict[str, Any]) -> List[List[FrameSample]]:
    """Pairs (key, reference) of a recipe: ``gt``, ``gt_labels`` (1-based), ``ref_boxes``, ``gt_pids`` (1-based position
    among the reference boxes, 0: absent there). Masks are ellipses."""
    pairs = []
    for boxes, labels, others, pids in zip(*(given[x] for x in ('gt', 'gt_labels', 'ref_boxes', 'gt_pids'))):
        pids, own = torch.tensor(pids), torch.arange(100, 100 + len(boxes))
        in_reference = torch.full((len(others),), -1)
        in_reference[pids[pids > 0] - 1] = own[pids > 0]
        masks = torch.from_numpy(np.stack([ellipse(box) for box in boxes]))
        key = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32), instance_ids=own,
                           labels=torch.tensor(labels) - 1, masks=masks)
        reference = InstanceData(bboxes=torch.tensor(others, dtype=torch.float32), instance_ids=in_reference)
        pairs.append([FrameSample(metainfo=dict(img_shape=IMG_SHAPE, pad_shape=PAD_SHAPE), gt_instances=x)
                      for x in (key, reference)])
    return pairs
