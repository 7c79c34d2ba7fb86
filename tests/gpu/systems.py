"""What the checks of a GPU give to the systems: models with random weights, small random inputs."""
from typing import Dict

import numpy as np
import torch
from helpers.tiny_systems import SYSTEMS
from mmengine.structures import InstanceData

from mmvis.engine import load_config
from mmvis.frame_sample import FrameSample
from mmvis.models.condinst_iai.lstt import LSTTLayer
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo

#: system -> config whose model is built, with random weights
CONFIGS: Dict[str, str] = {name: system.config for name, system in SYSTEMS.items()}


def build(system: str) -> torch.nn.Module:
    """The model of a system with seeded random weights, on the CPU, in eval mode."""
    torch.manual_seed(0)
    model = MODELS.build(load_config(CONFIGS[system]).model)
    for module in model.modules():              # a CPU and a GPU draw different numbers
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.
        elif isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.
        elif isinstance(module, LSTTLayer):
            module.drop_path_prob = 0.
    return model.eval()


def frames(num: int, height: int = 360, width: int = 640) -> torch.Tensor:
    """uint8 [num, 3, height, width]: smooth noise, the same on every machine."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (num, 3, height // 20, width // 20)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, (height, width), mode='bilinear').to(torch.uint8)


def video(num: int, height: int = 360, width: int = 640) -> VideoInfo:
    return VideoInfo(1, (2 * height, 2 * width), (height, width), 0.5, num)


def training_batch(system: str, num_clips: int = 1, height: int = 160, width: int = 288) -> dict:
    """A batch as the data path collates it: every frame shows the same two objects."""
    length = SYSTEMS[system].clip
    boxes = torch.tensor([[20., 20., 99., 99.], [120., 40., 239., 139.]]) * min(height / 160, width / 288)
    masks = torch.zeros(2, height, width, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        mask[y1:y2 + 1, x1:x2 + 1] = 1
    samples = []
    for clip in range(num_clips):
        samples.append([])
        for index in range(length):
            sample = FrameSample(metainfo=dict(video_id=clip, frame_idx=index, num_frames=length, ori_shape=(height, width),
                                               img_shape=(height, width), scale_factor=1.0, flip=False))
            sample.gt_instances = InstanceData(bboxes=boxes.clone(), labels=torch.tensor([1, 2]), masks=masks.clone(),
                                               instance_ids=torch.tensor([5, 6]))
            sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=torch.zeros(0, dtype=torch.int64),
                                                    masks=masks[:0], instance_ids=torch.zeros(0, dtype=torch.int64))
            samples[-1].append(sample)
    return dict(inputs=[frames(length, height, width) for _ in range(num_clips)], data_samples=samples)
