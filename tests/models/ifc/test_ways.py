"""The tool and the predictor give the same results, near-online and offline; clips of the data path train."""
import importlib.util
import json
import sys
import uuid
from pathlib import Path

import pytest
import torch
from helpers.tiny_ifc import NUM_CLASSES, tiny_config, tiny_model
from helpers.tiny_vis import edit_json, make_tiny_dataset
from mmengine.config import Config

from mmvis.apis.predictor import VISPredictor
from mmvis.datasets import VISDataset, clip_collate
from mmvis.registry import DATASETS
from mmvis.structures import VideoInfo, VideoResult

TOOL = Path(__file__).resolve().parents[3] / 'tools' / 'test_video.py'

CATEGORIES = [{'id': 3 * index + 2, 'name': f'class {index}'} for index in range(NUM_CLASSES)]
LENGTHS = (1, 2, 7)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Videos of 1, 2 and 7 frames, a config with T = 3, and a checkpoint."""
    folder = tmp_path_factory.mktemp('ifc')
    ann_file = make_tiny_dataset(folder, len(LENGTHS), max(LENGTHS), size=(60, 100), split='valid',
                                 categories=CATEGORIES)

    def cut(data):
        for video, length in zip(data['videos'], LENGTHS):
            video['length'] = length
            video['file_names'] = video['file_names'][:length]
        data['annotations'] = []

    edit_json(ann_file, cut)
    torch.save({'state_dict': tiny_model().state_dict()}, folder / 'model.pth')
    dataset = dict(type='VISDataset', split='valid', data_root=str(folder), test_mode=True,
                   pipeline=[dict(type='ClipResize', scale=(96, 48), rule='detectron2')])
    Config(dict(
        default_scope='mmvis', model=tiny_config(), test_dataloader=dict(
            batch_size=1, num_workers=0, sampler=dict(type='VideoSampler'), collate_fn=dict(type='clip_collate'),
            dataset=dataset))).dump(folder / 'tiny.py')
    return folder


def by_the_tool(project, folder, num_frames, monkeypatch):
    """Entries of the results file that the command writes."""
    spec = importlib.util.spec_from_file_location('test_video_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(sys, 'argv', [
        'test_video.py', str(project / 'tiny.py'), str(project / 'model.pth'), '--out', str(folder / 'r.json'),
        '--work-dir', str(folder / 'work'), '--cfg-options', f'model.num_frames={num_frames}',
        f'experiment_name={uuid.uuid4().hex}'])           # two runs of one name in one second would share a logger
    tool.main()
    return json.loads((folder / 'r.json').read_text())


@pytest.mark.parametrize('num_frames', [5, 36])
def test_tool_and_predictor_agree(project, tmp_path, monkeypatch, num_frames):
    torch.set_num_threads(1)
    entries = by_the_tool(project, tmp_path, num_frames, monkeypatch)
    predictor = VISPredictor(project / 'tiny.py', project / 'model.pth', device='cpu',
                             cfg_options={'model.num_frames': num_frames})
    assert predictor.lag == num_frames - 1
    dataset = DATASETS.build(Config.fromfile(project / 'tiny.py').test_dataloader.dataset)
    expected = []
    for index, video in enumerate(dataset.videos):
        images = [dataset.load_image(index, t) for t in range(video.num_frames)]
        frames = [frame for _, frame in predictor.run(images)]
        assert [frame.frame_idx for frame in frames] == list(range(video.num_frames))
        info = VideoInfo(video.video_id, (60, 100), (48, 80), 0.8, video.num_frames)
        for track in VideoResult.from_frames(info, frames, predictor.entries).tracks:
            expected.append(dict(video_id=video.video_id, score=track.score,
                                 category_id=dataset.category_ids[track.label],
                                 segmentations=[track.masks.get(t) for t in range(video.num_frames)]))
    assert entries == expected
    assert {entry['video_id'] for entry in entries} == {10, 20, 30}
    assert any(rle for entry in entries for rle in entry['segmentations'])


def test_clips_of_the_data_path_train(tmp_path):
    make_tiny_dataset(tmp_path, 2, 6, size=(60, 100), categories=CATEGORIES)
    pipeline = [dict(type='ClipResize', scale=[(96, 48), (96, 56)], rule='detectron2'), dict(type='ClipFlip', prob=0.5),
                dict(type='ClipBoxesFromMasks')]
    model = tiny_model().train()
    for clip, length in ((dict(type='RandomClips', num_frames=3), 3), (dict(type='SingleFrames'), 1)):
        dataset = VISDataset('train', str(tmp_path), clip=clip, pipeline=pipeline)
        data = model.data_preprocessor(clip_collate([dataset[i] for i in range(2)]), True)
        assert data['inputs'].shape[:2] == (2, length)
        total, _ = model.parse_losses(model(**data))
        total.backward()
        assert torch.isfinite(total)
