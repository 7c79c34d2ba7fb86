"""A model that is trained in seconds, and the config of its training."""
import os
import random
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from mmvis.models.base import FrameReader, VISModel
from mmvis.registry import HOOKS, MODELS
from mmvis.structures import FrameInstances, VideoInfo


class _Batch(BaseDataPreprocessor):

    def forward(self, data: Dict[str, Any], training: bool = False) -> Dict[str, Any]:
        data = self.cast_data(data)
        clips = torch.stack(data['inputs']).float() / 255
        return dict(data, inputs=clips) if training else dict(inputs=clips[0])


@MODELS.register_module()
class ToyModel(VISModel):
    """Guesses the share of every frame that objects cover, and draws from every random generator while it does.

    Args:
        noise: draw at all.
        batch_norm: a batch normalisation, whose buffers have to come back too.
        explode_at: the loss of this call (from 1 on) is NaN.
    """

    def __init__(self, noise: bool = True, batch_norm: bool = True, explode_at: int = 0) -> None:
        super().__init__(data_preprocessor=_Batch())
        self.noise, self.explode_at, self.calls = noise, explode_at, 0
        self.features = nn.Conv2d(3, 4, 3, stride=4)
        self.norm = nn.BatchNorm2d(4) if batch_norm else nn.Identity()
        self.dropout = nn.Dropout(0.5 if noise else 0.)
        self.guess = nn.Linear(4, 1)

    def loss(self, clips: Tensor, samples) -> Dict[str, Tensor]:
        self.calls += 1
        x = self.dropout(self.norm(self.features(clips.flatten(0, 1))).relu().mean((2, 3)))
        covered = [sample.gt_instances.masks.amax(0).float().mean() for clip in samples for sample in clip]
        loss = (self.guess(x)[:, 0].float() - torch.stack(covered)).square().mean()
        if self.noise:
            loss = loss * (1 + 0.1 * np.random.rand() + 0.1 * random.random())
        return {'loss_cover': loss * (float('nan') if self.calls == self.explode_at else 1.)}

    def encode(self, frames: Tensor, video: VideoInfo) -> Tensor:
        return frames

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None):
        return SimpleNamespace(video=video, num_frames=0)

    def advance(self, state, features: Tensor):
        torch.rand(3), np.random.rand(), random.random()  # a validation that draws must not change the training
        first, state.num_frames = state.num_frames, state.num_frames + len(features)
        return [FrameInstances(index) for index in range(first, state.num_frames)]

    def finish(self, state):
        return iter(()), []


@HOOKS.register_module()
class KillHook(Hook):
    """The process gets a signal after so many iterations, before a checkpoint of the last one is written."""
    priority = 'ABOVE_NORMAL'

    def __init__(self, after: int, name: str = 'SIGKILL', rank: int = 0) -> None:
        self.after, self.signal, self.rank = after, getattr(signal, name), rank

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.after and runner.rank == self.rank:
            os.kill(os.getpid(), self.signal)


@HOOKS.register_module()
class LossRecorder(Hook):
    """Appends every loss, exactly, to ``file``: iteration, epoch, index in the epoch, loss, learning rate."""

    def __init__(self, file: str) -> None:
        self.file = file

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        row = runner.iter, runner.epoch, batch_idx, outputs['loss'].item().hex(), runner.optim_wrapper.get_lr()['lr'][0]
        with open(f'{self.file}.{runner.rank}' if runner.world_size > 1 else self.file, 'a') as file:
            print(*row, file=file)


def toy_config(data_root, work_dir, by_iterations: bool = False, **model) -> Config:
    """A training of 3 epochs x 4 iterations (or 12 iterations) on a set of ``make_tiny_dataset``."""
    dataset = dict(type='VISDataset', data_root=str(data_root), ann_file='train.json', img_prefix='train/JPEGImages')
    base = Config.fromfile(Path(__file__).resolve().parents[2] / 'configs/_base_/default_runtime.py')
    base.merge_from_dict(dict(
        custom_imports=dict(imports=['helpers.toy_training']),
        model=dict(type='ToyModel', **model),
        train_dataloader=dict(
            batch_size=2, num_workers=0,
            sampler=dict(type='InfiniteClipSampler' if by_iterations else 'ClipSampler'),
            batch_sampler=dict(type='ClipBatchSampler'),
            dataset=dict(dataset, clip=dict(type='KeyReferencePairs'),
                         pipeline=[dict(type='ClipFlip', prob=0.5)])),
        val_dataloader=dict(batch_size=1, num_workers=0, sampler=dict(type='VideoSampler'),
                            dataset=dict(dataset, test_mode=True)),
        val_evaluator=dict(type='VISMetric'),
        train_cfg=dict(type='IterTrainLoop', max_iters=12) if by_iterations else
        dict(type='EpochTrainLoop', max_epochs=3),
        val_cfg=dict(type='VideoValLoop'),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
                           clip_grad=dict(max_norm=1.)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=6),
                         dict(type='MultiStepLR', by_epoch=not by_iterations, milestones=[2])],
        auto_scale_lr=dict(enable=False, base_batch_size=2),
        log_processor=dict(by_epoch=not by_iterations),
        default_hooks=dict(logger=dict(interval=1), record=dict(type='LossRecorder', file=f'{work_dir}/losses.txt')),
        randomness=dict(seed=7), launcher='none', work_dir=str(work_dir)))
    return base
