"""The published jobs, two iterations each, with a tiny network: COCO pre-training, YouTube-VIS with COCO, OVIS with
COCO from that checkpoint, evaluation with analysis, and training on two machines."""
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.tiny_vis import edit_json, make_tiny_dataset
from mmengine.optim import build_optim_wrapper

from mmvis.datasets.categories import OVIS, YTVIS_2019
from mmvis.datasets.coco_categories import COCO
from mmvis.engine import load_config
from mmvis.registry import MODELS
from mmvis.visualization.analysis import VideoAnalysis
from mmvis.visualization.drawing import track_color

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / 'configs' / 'instanceformer'
TINY = ['model.backbone.depth=18', 'model.backbone.base_channels=8', 'model.backbone.stem_channels=8',
        'model.neck.in_channels=[16,32,64]', 'model.neck.out_channels=32', 'model.neck.norm_cfg.num_groups=8',
        'model.neck.num_outs=3', 'model.num_levels=3', 'model.embed_dims=32', 'model.num_heads=4', 'model.num_points=2',
        'model.feedforward_dims=32', 'model.encoder_layers=1', 'model.decoder_layers=2', 'model.num_queries=20']
#: Config, config whose checkpoint it starts from, clips a step (the sets hold 2, 4 and 4 clips).
CHAIN = [('instanceformer_r50_coco', None, 1),
         ('instanceformer_r50_joint_ytvis2019', 'instanceformer_r50_coco', 2),
         ('instanceformer_r50_joint_ovis', 'instanceformer_r50_joint_ytvis2019', 2)]
SHORT = ['train_cfg.max_epochs=1', 'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
         'default_hooks.logger.interval=1']


def table(categories):
    return [dict(id=category_id, name=name) for category_id, name in categories.items()]


def make_coco(root, num=2):
    """Two images with two objects each, in COCO's layout."""
    (root / 'annotations').mkdir(parents=True)
    (root / 'train2017').mkdir()
    images, annotations = [], []
    for number in range(1, num + 1):
        image = np.full((60, 90, 3), 90 + 20 * number, np.uint8)
        for index, (x, y, width, height) in enumerate(((8, 6, 30, 24), (46, 20, 36, 34))):
            cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), (30, 200 * index, 220), -1)
            outline = [[x, y, x + width, y, x + width, y + height, x, y + height]]
            annotations.append(dict(id=len(annotations) + 1, image_id=number, category_id=(1, 3)[index], iscrowd=0,
                                    bbox=[x, y, width, height], area=width * height, segmentation=outline))
        cv2.imwrite(str(root / 'train2017' / f'{number:012d}.jpg'), image)
        images.append(dict(id=number, file_name=f'{number:012d}.jpg', height=60, width=90))
    content = dict(images=images, annotations=annotations, categories=table(COCO))
    (root / 'annotations' / 'instances_train2017.json').write_text(json.dumps(content))


def add_occlusion(content):
    """What the annotations of OVIS say besides."""
    for annotation in content['annotations']:
        annotation['occlusion'] = [rle and 'no_occlusion' for rle in annotation['segmentations']]


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A folder with ``data/{coco,ytvis2019,ovis,sample}``."""
    folder = tmp_path_factory.mktemp('project')
    make_coco(folder / 'data' / 'coco')
    for name, categories in (('ytvis2019', YTVIS_2019), ('ovis', OVIS), ('sample', dict(enumerate('abcdefgh')))):
        for split in ('train', 'valid'):
            ann_file = make_tiny_dataset(folder / 'data' / name, 1, 2 if split == 'train' else 4, split=split,
                                         categories=table(categories))
            if name == 'ovis':
                edit_json(ann_file, add_occlusion)
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def run(project, monkeypatch, capfd):
    """run('train', ...) runs tools/train.py in this process, in the folder of the project: what it printed."""
    monkeypatch.chdir(project)

    def call(tool, *args, options=(), network=TINY):
        spec = importlib.util.spec_from_file_location(f'{tool}_tool', ROOT / f'tools/{tool}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        options = [*network, *options, f'experiment_name={uuid.uuid4().hex}']
        monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *map(str, args), '--cfg-options', *options])
        torch.set_num_threads(1)
        try:
            module.run_tool(module.main)
        except SystemExit as stop:
            assert not stop.code, ''.join(capfd.readouterr())
        return ''.join(capfd.readouterr())
    return call


def test_the_jobs_are_those_of_the_migration_page():
    rows = [line for line in (ROOT / 'docs' / 'migration.md').read_text(encoding='utf-8').splitlines()
            if line.startswith('| InstanceFormer |')]
    named = {stem for row in rows for stem in re.findall(r'configs/instanceformer/(\w+)\.py', row)}
    assert named == {name for name, *_ in CHAIN}


@pytest.mark.parametrize('name, load_from', [job[:2] for job in CHAIN])
def test_a_job_looks_for_the_checkpoint_of_the_job_before_it(name, load_from):
    cfg, before = load_config(f'{name}.py'), load_from and load_config(f'{load_from}.py')
    assert cfg.load_from == (f'work_dirs/{load_from}/epoch_{before.train_cfg.max_epochs}.pth' if before
                             else 'models/resnet50.pth')


@pytest.fixture
def trained(run, project):
    """trained(job) -> (checkpoint, what its training printed): it is trained once, after the jobs that it starts from."""
    def call(name):
        load_from, batch_size = next(job[1:] for job in CHAIN if job[0] == name)
        checkpoint, log = (project / 'work_dirs' / name / file for file in ('epoch_1.pth', 'printed.txt'))
        if not checkpoint.is_file():
            options = [*SHORT, f'train_dataloader.batch_size={batch_size}', 'train_dataloader.batch_sampler.drop_last=False']
            start = ['--load-from', call(load_from)[0]] if load_from else []
            printed = run('train', f'{name}.py', '--seed', 0, *start,
                          options=options if load_from else [*options, 'load_from=None'])
            log.write_text(printed)
        return checkpoint, log.read_text()
    return call


@pytest.mark.parametrize('name, load_from', [job[:2] for job in CHAIN])
def test_the_chain_of_trainings(trained, name, load_from):
    checkpoint, out = trained(name)
    assert '[2/2]' in out and checkpoint.is_file(), out[-2000:]
    if load_from is not None:                                  # the class branches start anew, the rest comes along
        assert 'layout: mmvis' in out and 'class_branches.0.weight (shape' in out
    assert ('loss_contrastive' in out) == (name == 'instanceformer_r50_joint_ovis')


@pytest.mark.parametrize('name, load_from', [('instanceformer_r18_sample_pretrain', None),
                                             ('instanceformer_r18_sample_looks', 'instanceformer_r18_sample_pretrain'),
                                             ('instanceformer_r18_sample', 'instanceformer_r18_sample_looks')])
def test_the_trainings_on_the_sample_set(run, project, name, load_from):
    """The network of these configs as it is: single frames, frames of a clip as images, then clips."""
    more = ['--load-from', project / 'work_dirs' / load_from / 'epoch_1.pth'] if load_from else []
    once = ['train_dataloader.dataset.clip.repeats=2'] if load_from else []
    out = run('train', f'{name}.py', '--seed', 0, *more, network=(),
              options=[*SHORT, *once, 'train_dataloader.batch_size=1', 'train_cfg.val_interval=0'])
    assert '[2/2]' in out and (project / 'work_dirs' / name / 'epoch_1.pth').is_file(), out[-2000:]
    assert ('loss_looks' in out) == (name == 'instanceformer_r18_sample_looks')
    assert 'loss_contrastive' not in out


@pytest.mark.parametrize('name, categories', [('instanceformer_r50_joint_ytvis2019', YTVIS_2019),
                                              ('instanceformer_r50_joint_ovis', OVIS)])
def test_evaluation_and_analysis(run, trained, project, name, categories):
    checkpoint, _ = trained(name)
    out = run('test_video', f'{name}.py', checkpoint, '--out', f'{name}.json', '--eval', 'segm', '--analysis', name,
              options=['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False'])
    assert '\nAP ' in out
    entries = json.loads((project / f'{name}.json').read_text())
    assert entries and {entry['category_id'] for entry in entries} <= set(categories)
    assert all(len(entry['segmentations']) == 4 for entry in entries)
    analysis = VideoAnalysis.load(project / name / '10.npz')
    assert analysis.locations.shape == (4, analysis.features.shape[1], 4, 3, 2, 2)


def test_pictures_of_an_analysis(project, monkeypatch, capsys):
    """Two tracks that look at known places, on the video of the fixture: 4 frames of 80 x 48."""
    monkeypatch.chdir(project)
    places = np.broadcast_to(np.array([[.25, .5], [.75, .5]], np.float32)[None, :, None, None, None],
                             (4, 2, 4, 3, 2, 2))
    rng = np.random.default_rng(0)
    VideoAnalysis(10, rng.normal(size=(4, 2, 8)).astype(np.float32), places, places[:, :, 0, 0, 0]).save(
        project / 'known' / '10.npz')

    def tool(name, *args):
        """Exit status of a tool (None: well) and the last line that it says of an error."""
        spec = importlib.util.spec_from_file_location(f'{name}_tool', ROOT / f'tools/analysis/{name}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *args])
        try:
            module.run_tool(module.main)
        except SystemExit as stop:
            return stop.code, capsys.readouterr().err.splitlines()[-1]
        return None, ''

    config = 'instanceformer_r50_joint_ytvis2019.py'
    frames = [cv2.imread(str(path)) for path in sorted((project / 'data/ytvis2019/valid').rglob('*.jpg'))]
    for what in ('locations', 'references', 'centres'):
        assert tool('reference_points', config, 'known', '--out', what, '--what', what) == (None, '')
        pictures = [cv2.imread(str(path)) for path in sorted((project / what / '10').glob('*.png'))]
        assert len(pictures) == len(frames) == 4
        for picture, frame in zip(pictures, frames):
            assert (picture[24, 20] == track_color(0)).all() and (picture[24, 60] == track_color(1)).all()
            changed = np.argwhere((picture != frame).any(-1))
            assert all(abs(y - 24) < 6 and min(abs(x - 20), abs(x - 60)) < 6 for y, x in changed)

    assert tool('make_video', 'locations/10') == (None, '')
    video = cv2.VideoCapture(str(project / 'locations' / '10' / 'video.mp4'))
    assert (video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)) == (4, 5)
    assert tool('tsne', 'known/10.npz', 'known/10.npz', '--titles', 'a', 'b', '--out', 'tsne.png') == (None, '')
    height, width = cv2.imread(str(project / 'tsne.png')).shape[:2]
    assert width == 2 * height                                         # two panels

    for answer, word in ((tool('reference_points', config, 'known', '--videos', '11'), 'no video 11'),
                         (tool('reference_points', config, 'nowhere'), 'nowhere has no file of a video of'),
                         (tool('tsne', 'known/10.npz', 'known/10.npz'), 'a title of its own'),
                         (tool('make_video', 'known'), 'known holds no pictures')):
        assert answer[0] == 1 and answer[1].startswith('error: ') and word in answer[1]
    VideoAnalysis(10, np.zeros((9, 2, 8)), np.zeros((9, 2, 4, 3, 2, 2)), np.zeros((9, 2, 2))).save(
        project / 'foreign' / '10.npz')
    assert 'has 9 frames' in tool('reference_points', config, 'foreign')[1]


@pytest.mark.skipif(shutil.which('sh') is None, reason='needs a shell')
def test_two_machines(python, project):
    """Both of them are this one."""
    environ = dict(os.environ, OMP_NUM_THREADS='1', NNODES='2', MASTER_ADDR='127.0.0.1', PORT='29613',
                   PYTHON=python)
    command = ['sh', 'tools/dist_train.sh', 'instanceformer_r50_joint_ytvis2019.py', '1', '--work-dir', 'two_machines',
               '--cfg-options', *TINY, *SHORT, 'load_from=None', 'train_dataloader.batch_size=1',
               'experiment_name=two_machines']
    machines = [subprocess.Popen(command, cwd=project, env=dict(environ, NODE_RANK=str(rank)), text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for rank in (0, 1)]
    printed = [machine.communicate(timeout=600)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], printed[0][-1500:] + printed[1][-1500:]
    assert '[2/2]' in printed[0] and (project / 'two_machines' / 'epoch_1.pth').is_file()


# Configs

@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_class_units_are_category_ids(path):
    cfg = load_config(str(path))
    model, dataset = cfg.model, cfg.test_dataloader.dataset
    tables = {'YTVIS2019Dataset': YTVIS_2019, 'OVISDataset': OVIS, 'COCOClipsDataset': COCO}
    if dataset.type in ('SampleDataset', 'VISDataset'):
        assert model.class_units is None and model.num_classes == cfg.num_classes
    else:
        assert list(model.class_units) == list(tables.get(dataset.type, YTVIS_2019))
        assert model.num_classes == {'COCOClipsDataset': 91, 'OVISDataset': 27}.get(dataset.type, 42)


@pytest.mark.parametrize('name, epochs, clips, memory, rules', [
    ('r50_coco', 12, None, None, (None, 'same')),
    ('r50_joint_ytvis2019', 16, 4, None, ('multiply', 'same')),
    ('r50_joint_ytvis2021', 16, 4, None, ('multiply', 'same')),
    ('r50_joint_ovis', 16, 3, dict(num_tokens=10, num_frames=3), ('multiply', 'add')),
    ('swin_large_joint_ovis', 16, 3, dict(num_tokens=10, num_frames=3), ('multiply', 'add'))])
def test_published_recipes(name, epochs, clips, memory, rules):
    cfg = load_config(f'instanceformer_{name}.py')
    model = cfg.model
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].milestones) == (epochs, [4, 10])
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=0.1, norm_type=2)
    assert (model.num_queries, model.dropout, model.num_candidates, model.get('memory')) == (300, 0.1, 50, memory)
    assert (model.propagate_reference, model.get('test_propagate_reference', 'same')) == rules
    assert (cfg.train_dataloader.batch_size, cfg.train_dataloader.batch_sampler.drop_last) == (4, True)
    if clips:
        images, = (part for part in cfg.train_dataloader.dataset.datasets if part.type == 'COCOClipsDataset')
        videos, = (part for part in cfg.train_dataloader.dataset.datasets if part.type != 'COCOClipsDataset')
        assert (images.max_objects, images.category_map, videos.clip.num_frames) == (25, 'fixed', clips)
        assert images.pipeline[0] == dict(type='ClipRepeat', num_frames=clips)


def test_published_augmentation():
    cfg = load_config('instanceformer_r50_joint_ytvis2019.py')
    flip, photometric, resize = cfg.video_pipeline
    assert flip == dict(type='ClipFlip', prob=0.5) and photometric == dict(type='ClipPhotometric', per_frame=True)
    scales = [(768, side) for side in (288, 320, 352, 392, 416, 448, 480, 512)]
    to_scale = dict(type='ClipResize', scale=scales, rule='detr')
    assert resize == dict(type='ClipRandomChoice', branches=[[to_scale], [
        dict(type='ClipResize', scale=[(None, 400), (None, 500), (None, 600)], rule='detr'),
        dict(type='ClipCrop', size=(384, 600), mode='absolute_range'), to_scale]])
    copies = dict(per_frame=True, keep_first=True)
    assert cfg.image_pipeline == [
        dict(type='ClipColorShift', add=40, hue_saturation=5, **copies),
        dict(type='ClipWarp', rotate=(-20, 20), translate=0.1, same_shift=True, perspective=0.08, overlaps=False, **copies),
        dict(type='ClipBlur', prob=0.25, kernels=(9, 11), kind='motion', **copies), dict(type='ClipShuffle'), flip, resize]


def test_swin_large_has_the_published_size(monkeypatch):
    """213.2 million parameters (with memory 214.8), as the official state dicts hold; maps of strides 8 to 64."""
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))           # mmdet reads its numbers
    for name, millions in (('joint_ytvis2019', 213.2), ('joint_ovis', 214.8)):
        with torch.device('meta'):
            model = MODELS.build(load_config(f'instanceformer_swin_large_{name}.py').model).eval()
        shapes = model.tokens(torch.empty(1, 3, 128, 192, device='meta')).shapes
        assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
        assert shapes == [(16, 24), (8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize('name, rate, backbone', [('instanceformer_r50_ytvis2019', 1e-4, 1e-5),
                                                  ('instanceformer_r50_ovis', 2e-4, 1e-5)])
def test_learning_rates_of_the_parameter_groups(name, rate, backbone):
    cfg = load_config(f'{name}.py')
    model = MODELS.build(dict(cfg.model, encoder_layers=1, decoder_layers=1))
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rates = {id(p): group['lr'] for group in optimizer.param_groups for p in group['params']}
    for key, parameter in model.named_parameters():
        slow = 'sampling_offsets' in key or 'reference_points' in key
        expected = backbone if key.startswith('backbone.') else rate * (0.1 if slow else 1)
        if parameter.requires_grad:
            assert rates[id(parameter)] == pytest.approx(expected), key
    assert all(group['weight_decay'] == 1e-4 for group in optimizer.param_groups)
