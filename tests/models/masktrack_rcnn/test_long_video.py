"""A video of 1,000 frames through the data path, MaskTrackRCNN and the results writer: memory stays."""
import json

import torch
from helpers.resident import needs_proc, resident_kib
from helpers.tiny_masktrack import NUM_CLASSES, tiny_config, tiny_model
from helpers.tiny_vis import make_tiny_dataset
from mmengine.config import Config

from mmvis.engine import build_runner
from mmvis.evaluation import ResultsWriter

NUM_FRAMES = 1000
CATEGORIES = [{'id': 3 * index + 2, 'name': f'class {index}'} for index in range(NUM_CLASSES)]


@needs_proc
def test_memory_after_frame_100_grows_by_the_run_lengths_only(tmp_path):
    ann_file = make_tiny_dataset(tmp_path, 1, NUM_FRAMES, size=(64, 96), split='valid', categories=CATEGORIES)
    dataset = dict(type='VISDataset', ann_file=str(ann_file), img_prefix=str(tmp_path / 'valid' / 'JPEGImages'),
                   box_mode='inclusive', test_mode=True, pipeline=[dict(type='ClipResize', scale=(96, 64), rule='mmcv')])
    cfg = Config(dict(
        default_scope='mmvis', model=tiny_config(), work_dir=str(tmp_path / 'work'), test_cfg=dict(type='VideoTestLoop'),
        test_evaluator=[], test_dataloader=dict(batch_size=1, num_workers=0, sampler=dict(type='VideoSampler'),
                                                collate_fn=dict(type='clip_collate'), dataset=dataset)))
    torch.set_num_threads(1)
    runner = build_runner(cfg)
    runner.model.load_state_dict(tiny_model().state_dict())
    writer = ResultsWriter(str(tmp_path / 'r.json'), [10], [category['id'] for category in CATEGORIES])
    runner._test_loop = runner.build_test_loop(runner._test_loop)
    runner.test_loop.writer = writer
    resident, step = {}, runner.model.step

    def watched(state, frames):
        out = step(state, frames)
        if state.frame_idx in (100, NUM_FRAMES):
            resident[state.frame_idx] = resident_kib()
        return out

    runner.model.step = watched
    runner.test()
    entries = json.loads((tmp_path / 'r.json').read_text())
    written = sum(len(rle['counts']) for entry in entries for rle in entry['segmentations'][100:] if rle)
    assert written > 1000                                              # there was something to remember
    assert resident[NUM_FRAMES] - resident[100] <= written / 1024 + (NUM_FRAMES - 100) * 2
