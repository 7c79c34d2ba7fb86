"""The configs of EoMT and VidEoMT: what each builds, and that they train, test and show through the tools."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.encoder_only import small_options, training_options, write_trees
from mmengine.optim import build_optim_wrapper

from mmvis.engine import load_config
from mmvis.engine.config_check import prepare_config
from mmvis.registry import MODELS, PARAM_SCHEDULERS

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = sorted(path for system in ('videomt', 'eomt') for path in (ROOT / 'configs' / system).glob('*.py')
                   if 'custom' not in path.name and 'sample' not in path.name)
#: millions of parameters (the specification's, and the unused key bias that our DINOv3 keeps), steps, short side in tests
SIZES = {
    'videomt_vit_small_ytvis2019': (24.09, 40000, 448), 'videomt_vit_base_ytvis2019': (94.18, 40000, 448),
    'videomt_vit_large_ytvis2019': (317.65, 60000, 448), 'videomt_vit_large_ytvis2021': (317.65, 160000, 448),
    'videomt_vit_large_ytvis2022': (317.65, 160000, 448), 'videomt_vit_large_ovis': (317.63, 160000, 544),
    'videomt_vit_large_dinov3_ytvis2019': (315.99, 160000, 480), 'videomt_vit_large_dinov3_ytvis2021': (315.99, 160000, 480),
    'videomt_vit_large_dinov3_ytvis2022': (315.99, 160000, 480)}


def built(path):
    cfg = load_config(str(path))
    prepare_config(cfg)
    with torch.device('meta'):
        return cfg, MODELS.build(cfg.model)


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda path: path.stem)
def test_what_is_built(path):
    """Sizes, groups of the optimizer and schedule are the published ones."""
    cfg, model = built(path)
    large, dinov3, eomt = 'large' in path.stem, 'dinov3' in path.stem, 'eomt_' in path.stem.replace('videomt_', '')
    depth = len(model.backbone.blocks)
    assert depth - model.first_query_block == (4 if large else 3) and model.q.num_embeddings == 200
    norms = [[norm for norm in part.modules() if isinstance(norm, torch.nn.LayerNorm)]
             for part in (model, model.backbone, model.predictor)]
    assert list(map(len, norms)) == [2 * depth + 3, 2 * depth + 1, 2]
    assert {norm.eps for norm in norms[1]} == {1e-5 if dinov3 else 1e-6} and {norm.eps for norm in norms[2]} == {1e-6}
    assert model.num_classes == (80 if eomt else 25 if 'ovis' in path.stem else 40)
    if not eomt:
        unused = 24 * 1024 if dinov3 else 0
        number = sum(parameter.numel() for parameter in model.parameters()) - unused
        test = cfg.test_dataloader.dataset.pipeline[0]
        assert (round(number / 1e6, 2), cfg.train_cfg.max_iters, test.scale[1]) == SIZES[path.stem]
        assert test.scale[0] == 1333 and model.num_records == (20 if 'ovis' in path.stem else 10)
    else:
        ends = [end for _, end in model.fade]
        assert ends == sorted(ends) and ends[-1] == 73910 and cfg.test_dataloader.dataset.pipeline[0].scale == (640, 640)

    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {group['name']: group for group in wrapper.optimizer.param_groups}
    assert len(groups) == len(list(model.parameters())) and {group['weight_decay'] for group in groups.values()} == {0.05}
    lr, decay = (2e-4 if eomt and dinov3 else 1e-4), (0.8 if eomt else 0.6)
    rates = [groups[f'backbone.blocks.{i}.attn.proj.weight']['lr'] for i in range(depth)]
    expected = [lr * decay ** (depth - 1 - i) for i in range(depth)]
    if eomt and dinov3:
        expected[-4:] = [lr] * 4
    assert rates == pytest.approx(expected)
    assert groups['backbone.norm.weight']['lr'] == groups['q.weight']['lr'] == lr
    assert groups['backbone.patch_embed.proj.weight']['lr'] == pytest.approx(lr * decay ** (depth - 1))
    assert (wrapper.clip_grad_kwargs is not None) == eomt

    schedule = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler[0]), default_args=dict(optimizer=wrapper))
    first, second = (2000, 3000) if eomt and dinov3 else (500, 1000)
    assert cfg.param_scheduler[0].end == cfg.train_cfg.max_iters == schedule.num_steps
    assert [schedule.factor(0, late) for late in (False, True)] == [0, 0] and schedule.factor(first, True) == 0
    assert schedule.factor(first, False) == 1 == schedule.factor(first + second, True)


@pytest.mark.parametrize('path', PUBLISHED, ids=lambda path: path.stem)
def test_data_of_training(path):
    """One clip a process, 8 processes, half of it images with the tables of the authors; EoMT: 16 images."""
    cfg = load_config(str(path))
    loader = cfg.train_dataloader
    if path.parent.name == 'eomt':
        assert cfg.auto_scale_lr.base_batch_size == 16 and loader.batch_size == 4 and loader.dataset.redraw_empty
        return
    videos, images = loader.dataset.datasets
    assert (loader.batch_size, cfg.auto_scale_lr.base_batch_size, loader.sampler.type) == (1, 8, 'MixtureSampler')
    assert videos.clip == dict(type='ConsecutiveClips', num_frames=5) and images.category_map == 'videomt'
    assert images.target == path.stem.split('_')[-1].replace('2022', '2021')
    assert [step.type for step in images.pipeline] == ['ClipRepeat', *(step.type for step in videos.pipeline[:-1]),
                                                       'ClipRotate', 'ClipBoxesFromMasks']


@pytest.mark.parametrize('name', ['videomt_vit_small_ytvis2019', 'eomt_vit_small_coco'])
def test_training_testing_and_showing(name, tmp_path):
    write_trees(tmp_path, ['ytvis2019'])
    cfg = load_config(f'{name}.py')
    environ = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))

    def tool(command, *arguments):
        done = subprocess.run([sys.executable, ROOT / 'tools' / command, *arguments], cwd=tmp_path, env=environ,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
        return done.stdout

    def smaller(scale, text):
        """The published pipelines, with shorter sides."""
        return f'train_dataloader.dataset.{scale}={text}'

    options = training_options(cfg)
    if name.startswith('videomt'):
        options += [smaller(f'datasets.{part}.pipeline.{at}.scale', '[(96,48),(96,64)]') for part, at in ((0, 1), (1, 2))]
    assert 'loss_dice_0' in tool('train.py', f'{name}.py', '--cfg-options', *options)
    checkpoint = f'work_dirs/{name}/iter_2.pth'
    told = tool('test_video.py', f'{name}.py', checkpoint, '--out', 'results.json', '--eval', 'segm', '--cfg-options',
                *small_options(cfg))
    assert '\nAR100 ' in told and ('area up to 96 x 96' in told) == name.startswith('eomt')
    assert json.loads((tmp_path / 'results.json').read_text())
    drawn = 'out' if name.startswith('eomt') else 'out.mp4'
    tool('demo.py', 'data/ytvis2019/valid/JPEGImages/video_0', '--config', f'{name}.py', '--checkpoint', checkpoint,
         '--save_vis', drawn, '--cfg-options', *small_options(cfg))
    drawn = tmp_path / drawn
    assert (next(drawn.iterdir()) if drawn.is_dir() else drawn).stat().st_size > 1000


def test_the_small_systems_start_from_one_another():
    """Patches, then frames, then clips: each file of weights is the last of the training before, and fits."""
    names = ['eomt/eomt_vit_tiny_sample_patches', 'eomt/eomt_vit_tiny_sample', 'videomt/videomt_vit_tiny_sample']
    new = [None, ('q.', 'predictor.mask_head.', 'predictor.upscale.', 'counter.'), ('query_updater.',)]
    before = None
    for name, parts in zip(names, new):
        cfg, model = built(ROOT / 'configs' / f'{name}.py')
        state = {key: value.shape for key, value in model.state_dict().items()}
        if before is not None:
            stem, steps, weights = before
            assert cfg.load_from == f'work_dirs/{stem}/iter_{steps}.pth'
            assert {key for key in state if not key.startswith(parts)} <= set(weights)
            assert all(state[key] == shape for key, shape in weights.items() if key in state)
        before = name.split('/')[1], cfg.train_cfg.max_iters, state
        assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_iters
        assert all(end < cfg.train_cfg.max_iters for _, end in getattr(model, 'fade', None) or [])
        assert sum(parameter.numel() for parameter in model.parameters()) < 2e6
