#!/usr/bin/env python3
"""How fast a system is, beside a yardstick and a peer measured in the same run.

    python tools/benchmark.py inference CONFIG [--checkpoint FILE] [--threads 1 2] [--precision bf16] [--peer mmdet]
    python tools/benchmark.py training CONFIG [--batch-size N] [--amp] [--device cuda]
    python tools/benchmark.py network CONFIG [--annotations FILE] [--precision fp16] [--compile] [--device cuda]
    python tools/benchmark.py memory CONFIG [--checkpoint FILE] [--video-frames N]
    python tools/benchmark.py evaluation [--sets big60 dense]

``inference`` runs a 720p video, made on the spot, one frame at a time through the data path and the model of CONFIG,
and prints the seconds a frame of every stage. The yardstick is an eager, contiguous, unfused float32 forward of mmdet's
ResNet-50 and FPN (256 channels, P2 to P6) on one 384x640 image: a figure in yardsticks can be compared between
machines. Yardstick, model and peer take turns frame by frame; every figure is a median. Seconds are CPU seconds of the
process with one thread (so that other work on the machine disturbs little) and wall seconds otherwise.
``--whole-videos N`` runs whole videos of N frames instead, from the first frame to the finished results, joining and
run lengths included, for systems that decide later than frame by frame. docs/benchmark.md has results.

``--peer timm`` is VidEoMT written plainly with timm's blocks. ``network`` times one frame of VidEoMT's network by the
protocol of its paper: no reading, resizing, masks or run lengths. ``memory`` counts what a step
of training keeps for the backward pass, and what a long video keeps.

``training`` measures whole training steps (forward, backward, optimizer) of CONFIG on clips of two sample videos.
With ``--loader`` it measures whether the data loader keeps up with these steps.
``evaluation`` measures the way from a results file to AP beside mmdet's; docs/evaluation.md has results.
"""
import argparse
import copy
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

import mmvis  # noqa: E402,F401  (first: it supplies the operators that mmcv asks for)

# isort: split
import benchmark_vit as vit  # noqa: E402
import cv2  # noqa: E402
import mmdet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from benchmark_evaluation import add_arguments, benchmark_evaluation  # noqa: E402
from benchmark_loader import add_arguments as add_loader_arguments  # noqa: E402
from benchmark_loader import benchmark_loader
from benchmark_memory import add_memory_arguments, benchmark_memory  # noqa: E402
from benchmark_weights import see_ten_objects  # noqa: E402
from mmdet.models import FPN, ResNet  # noqa: E402
from mmdet.registry import MODELS as MMDET_MODELS  # noqa: E402
from mmdet.structures import DetDataSample, TrackDataSample  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.optim import build_optim_wrapper  # noqa: E402
from mmengine.registry import DefaultScope, init_default_scope  # noqa: E402
from torch import nn  # noqa: E402

from mmvis.cli import number_in  # noqa: E402
from mmvis.converters import load_checkpoint  # noqa: E402
from mmvis.datasets.clip import clip_collate  # noqa: E402
from mmvis.datasets.sample_set import make_sample  # noqa: E402
from mmvis.datasets.transforms.resize import resized_shape  # noqa: E402
from mmvis.engine import CfgOptions, ToolParser, find_config, load_config, run_tool  # noqa: E402
from mmvis.engine.class_numbers import fill_class_number  # noqa: E402
from mmvis.engine.loops import VideoRun  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.evaluation.output import write_json  # noqa: E402
from mmvis.models import MaskTrackRCNN, VidEoMT, VISModel  # noqa: E402
from mmvis.models.layers.inference import optimize_for_inference  # noqa: E402
from mmvis.models.layers.stages import StageTimer, stage  # noqa: E402
from mmvis.registry import DATASETS, MODELS  # noqa: E402
from mmvis.structures import encode_masks  # noqa: E402
from mmvis.structures.output_file import check_output  # noqa: E402

STAGES = ('load', 'network', 'association', 'masks', 'encode')
WARM_UP = 3
DTYPES = {'fp32': 'float32', 'bf16': 'bfloat16', 'fp16': 'float16'}
Seconds = Dict[str, float]


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='How fast a system is, beside a yardstick and a peer measured in the same run.')
    commands = parser.add_subparsers(dest='command', required=True, parser_class=ToolParser)
    inference = commands.add_parser('inference', help='seconds a frame by stage')
    inference.add_argument('config', help='config file, or its name under configs/')
    inference.add_argument('--checkpoint', metavar='FILE',
                           help='weights; by default random ones that see 10 objects a frame')
    inference.add_argument('--frames', type=number_in(1), default=30, metavar='N',
                           help='measured frames for each number of threads (30)')
    inference.add_argument('--whole-videos', type=number_in(1), metavar='N',
                           help='run videos of N frames to their end, --frames of them')
    inference.add_argument('--threads', type=number_in(1), nargs='+', default=[1, 2], metavar='N',
                           help='numbers of threads (1 2)')
    inference.add_argument('--precision', choices=('fp32', 'tf32', 'bf16', 'fp16'), default='fp32',
                           help='of our network (fp32)')
    inference.add_argument('--peer', choices=('mmdet', 'timm'),
                           help="also measure mmdet's own MaskTrackRCNN, or VidEoMT's network written with timm, in float32")
    inference.add_argument('--device', default='cpu', metavar='DEVICE', help='cpu (default), cuda')
    training = commands.add_parser('training', help='seconds a training step')
    training.add_argument('config', help='config file, or its name under configs/')
    training.add_argument('--batch-size', type=number_in(1), metavar='N',
                          help='clips a step; by default that of the config')
    training.add_argument('--steps', type=number_in(1), default=10, metavar='N', help='measured steps (10)')
    training.add_argument('--threads', type=number_in(1), default=2, metavar='N', help='number of threads (2)')
    training.add_argument('--amp', action='store_true', help='mixed precision, as in tools/train.py')
    training.add_argument('--device', default='cpu', metavar='DEVICE', help='cpu (default), cuda')
    add_loader_arguments(training)
    network = commands.add_parser('network', help="VidEoMT's network alone, by the protocol of its paper")
    vit.add_network_arguments(network)
    memory = commands.add_parser('memory', help='what a step of training and a long video keep')
    add_memory_arguments(memory)
    for command in (inference, training, network, memory):
        command.add_argument('--json', metavar='FILE', help='write the medians to this file, too')
        command.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE',
                             help='change keys of the config')
    add_arguments(commands)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.command != 'evaluation' and args.json:
        check_output(args.json, [str(find_config(args.config)), getattr(args, 'checkpoint', None)])
    {'inference': benchmark_inference, 'training': benchmark_training,
     'network': benchmark_network, 'memory': memory_of_a_config, 'evaluation': benchmark_evaluation}[args.command](args)


# What is measured: functions that process one more frame and return seconds by name

def yardstick(device: str) -> Callable[[], object]:
    """One forward of a plain ResNet-50 and FPN."""
    torch.manual_seed(0)
    model = nn.Sequential(ResNet(50, num_stages=4, out_indices=(0, 1, 2, 3), norm_eval=True, style='pytorch'),
                          FPN([256, 512, 1024, 2048], 256, num_outs=5)).to(device).eval()
    image = torch.randn(1, 3, 384, 640, device=device)
    return lambda: model(image)


class OurFrames:
    """Frames of a dataset through the data path and a model, video after video."""

    def __init__(self, model: VISModel, dataset) -> None:
        self.model, self.dataset = model, dataset
        self.objects: List[int] = []
        self._chunks = self._forever()

    def _forever(self) -> Iterator[None]:
        while True:
            run: Optional[VideoRun] = None
            for index in range(len(self.dataset)):
                with stage('load'):
                    chunk = self.dataset[index]
                with stage('network'):  # normalising counts as network; the model marks the rest
                    run = run or VideoRun(self.model, chunk['video'])
                    self.objects += [len(frame) for frame in run.step(chunk['inputs']).frames]
                yield
            for _ in run.finish().frames:
                pass

    def __call__(self) -> None:
        next(self._chunks)


class OurVideos(OurFrames):
    """Whole videos, each from its first frame to the verdicts on its tracks."""

    def __call__(self) -> None:
        run: Optional[VideoRun] = None
        for index in range(len(self.dataset)):
            with stage('load'):
                chunk = self.dataset[index]
            with stage('network'):
                run = run or VideoRun(self.model, chunk['video'])
                frames = run.step(chunk['inputs']).frames
            self.objects += [len(frame) for frame in frames]
        self.objects += [len(frame) for frame in run.finish().frames]


class PeerFrames:
    """The first frame of a dataset again and again through mmdet's own MaskTrackRCNN.

    From the resized uint8 frame to boxes, ids and full-size binary masks; the run lengths, which our model makes in the
    same pass, are extra ('encode').
    """

    def __init__(self, model: nn.Module, dataset) -> None:
        self.model, self.chunk = model, dataset[0]
        self.frame_idx = 0
        self.objects: List[int] = []

    def __call__(self) -> None:
        video = self.chunk['video']
        frame = DetDataSample(metainfo=dict(
            ori_shape=video.ori_shape, img_shape=video.img_shape, frame_id=self.frame_idx,
            scale_factor=tuple(a / b for a, b in zip(video.img_shape[::-1], video.ori_shape[::-1]))))
        self.frame_idx += 1
        sample = TrackDataSample(video_data_samples=[frame])
        with stage('network'):
            result = self.model.test_step(dict(inputs=[self.chunk['inputs']], data_samples=[sample]))
            instances = result[0][0].pred_track_instances.cpu()
        with stage('encode'):
            encode_masks(list(instances.masks.numpy()))
        self.objects.append(len(instances))


# Models and data

def build_model(cfg: Config, checkpoint: Optional[str], device: str) -> VISModel:
    torch.manual_seed(0)
    fill_class_number(cfg, checkpoint)
    model = MODELS.build(cfg.model)
    if checkpoint:
        load_checkpoint(model, checkpoint)
    else:
        see_ten_objects(model)
    return model.to(device).eval()


def build_peer(model: VISModel, device: str) -> nn.Module:
    """mmdet's MaskTrackRCNN from the config in its package, with our weights, score threshold and 10 detections.

    Its 200 proposals are those of its config.
    """
    if not isinstance(model, MaskTrackRCNN):
        raise InputError(f'--peer mmdet: mmdet has no {type(model).__name__}.')
    path = Path(mmdet.__file__).parent / '.mim/configs/masktrack_rcnn'
    cfg = Config.fromfile(path / 'masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py')
    cfg.model.detector.pop('init_cfg')
    cfg.model.detector.backbone.pop('init_cfg')
    cfg.model.detector.backbone.depth = model.backbone.depth
    ours = model.test_cfg
    cfg.model.detector.test_cfg.rcnn.update(score_thr=ours['score_thr'], max_per_img=ours['max_per_img'])
    num_classes = model.bbox_head.num_classes
    cfg.model.detector.roi_head.bbox_head.num_classes = cfg.model.detector.roi_head.mask_head.num_classes = num_classes
    with DefaultScope.overwrite_default_scope('mmdet'):
        peer = MMDET_MODELS.build(cfg.model)
    try:
        peer.load_state_dict(peer_weights(model.state_dict(), num_classes))
    except RuntimeError:
        raise InputError('--peer mmdet: the config differs from the MaskTrackRCNN of mmdet in more than the depth of '
                         'its ResNet and the number of classes.') from None
    return peer.to(device).eval()


def peer_weights(state: Dict[str, torch.Tensor], num_classes: int) -> Dict[str, torch.Tensor]:
    """Our weights under mmdet's names: there the background is the last class and has neither deltas nor mask."""
    out = {}
    for key, value in state.items():
        if key.startswith('bbox_head.fc_cls.'):
            value = torch.cat([value[1:], value[:1]])
        elif key.startswith('bbox_head.fc_reg.'):
            value = value[4:]
        elif key.startswith('mask_head.conv_logits.'):
            value = value[1:]
        if key.startswith('track_head.'):
            key = key.replace('track_head.', 'track_head.embed_head.')
        else:
            head = key.startswith(('bbox_head.', 'mask_head.'))
            key = f'detector.roi_head.{key}' if head else f'detector.{key}'
        out[key] = value
    return out


def still_video(folder: Path, frames: int, height: int = 720, width: int = 1280) -> Path:
    """Write a YouTube-VIS set of one video, the same textured frame throughout; returns its annotation file."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 255, (45, 80, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        centre, axes = (tuple(int(x) for x in rng.integers(low, high)) for low, high in (((0, 0), (width, height)),
                                                                                         ((20, 20), (160, 160))))
        cv2.ellipse(image, centre, axes, float(rng.integers(180)), 0, 360, rng.integers(0, 255, 3).tolist(), -1)
    names = [f'video/{i:05d}.jpg' for i in range(frames)]
    (folder / 'JPEGImages/video').mkdir(parents=True)
    encoded = cv2.imencode('.jpg', image)[1].tobytes()
    for name in names:
        (folder / 'JPEGImages' / name).write_bytes(encoded)
    content = dict(videos=[dict(id=1, height=height, width=width, length=frames, file_names=names)], annotations=[],
                   categories=[dict(id=1, name='object')])
    file = folder / 'annotations.json'
    file.write_text(json.dumps(content))
    return file


def build_dataset(cfg: Config, ann_file: Path):
    """The made video through the test pipeline of the config."""
    return DATASETS.build(dict(build_options(cfg.test_dataloader.dataset), type='VISDataset', ann_file=str(ann_file),
                               test_mode=True, img_prefix=str(ann_file.parent / 'JPEGImages')))


def build_options(dataset: dict) -> dict:
    """What the config of a dataset says besides where the data are."""
    where = ('type', 'split', 'data_root', 'ann_file', 'img_prefix', 'classes')
    return {key: value for key, value in dataset.items() if key not in where}


# Measuring and printing

def measure(subjects: Dict[str, Callable[[], object]], turns: int, cpu_seconds: bool,
            warm_up: int = WARM_UP, device: str = 'cpu') -> Dict[str, List[Seconds]]:
    """Let the subjects take turns; returns the seconds of every turn by stage ('' is the time outside every stage)."""
    seconds: Dict[str, List[Seconds]] = {name: [] for name in subjects}
    for turn in range(warm_up + turns):
        for name, process in subjects.items():
            with torch.inference_mode(), StageTimer(device) as timer, stage(''):
                process()
            if turn >= warm_up:
                seconds[name].append(dict(timer.cpu if cpu_seconds else timer.wall))
    return seconds


def median(seconds: List[Seconds], *stages: str) -> float:
    """Median over the frames of the sum of the named stages (of all but 'load' by default)."""
    def counts(name: str) -> bool:
        return name in stages if stages else name != 'load'
    return statistics.median(sum(value for name, value in frame.items() if counts(name)) for frame in seconds)


@torch.inference_mode()
def benchmark_inference(args: argparse.Namespace) -> None:
    if min(args.frames, args.whole_videos or 1, *args.threads) < 1:
        raise InputError('--frames, --whole-videos and --threads must be at least 1.')
    if args.whole_videos and args.peer == 'mmdet':
        raise InputError('--peer mmdet runs frame by frame, not whole videos.')
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmvis'))
    with tempfile.TemporaryDirectory() as folder:
        warm_up = 1 if args.whole_videos else WARM_UP
        dataset = build_dataset(cfg, still_video(Path(folder), args.whole_videos or args.frames + WARM_UP))
        print_header(args, dataset)
        record = dict(config=Path(args.config).stem, precision=args.precision, device=args.device, processor=processor(),
                      size=dataset[0]['video'].img_shape, date=time.strftime('%Y-%m-%d'), runs=[])
        for threads in args.threads:
            torch.set_num_threads(threads)
            cv2.setNumThreads(threads)
            model = build_model(cfg, args.checkpoint, args.device)
            kind = OurVideos if args.whole_videos else OurFrames
            ours = kind(optimize_for_inference(model, args.precision), dataset)
            for _ in range(warm_up):
                ours()
            memory = peak_memory(args.device)
            subjects = {'mmvis': ours, 'yardstick': yardstick(args.device)}
            if args.peer == 'timm':
                subjects['timm'] = vit.PlainFrames(build_model(cfg, args.checkpoint, 'cpu'), dataset, args.whole_videos or 1)
            elif args.peer:
                peer = build_peer(build_model(cfg, args.checkpoint, 'cpu'), args.device)
                subjects['mmdet'] = PeerFrames(peer, dataset)
            cpu_seconds = threads == 1 and args.device == 'cpu'
            seconds = measure(subjects, args.frames, cpu_seconds, warm_up, args.device)
            if args.whole_videos:
                for name in {'mmvis', 'timm'} & set(seconds):
                    seconds[name] = [{stage: value / args.whole_videos for stage, value in video.items()}
                                     for video in seconds[name]]
            print_table(subjects, seconds, threads, 'CPU' if cpu_seconds else 'wall')
            record['runs'].append(dict(threads=threads, clock='CPU' if cpu_seconds else 'wall',
                                       seconds=median(seconds['mmvis']), yardstick=median(seconds['yardstick'])))
            if threads == args.threads[0]:  # later ones would count the yardstick and the peer
                record['memory_mib'] = memory
                print(f'peak {memory_kind(args.device)} with our model alone: {memory:.0f} MiB')
    if args.json:
        write_json(args.json, record)


def benchmark_network(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmvis'))
    torch.set_num_threads(args.threads)
    model = build_model(cfg, None, args.device)
    if not isinstance(model, VidEoMT):
        raise InputError(f'network measures VidEoMT by the protocol of its paper; this is {type(model).__name__}.')
    optimize_for_inference(model, args.precision, args.compile)
    resize = next(step for step in cfg.test_dataloader.dataset.pipeline if step['type'] == 'ClipResize')
    divisor = model.data_preprocessor.pad_size_divisor
    sizes = []
    for height, width, frames in vit.videos_of(args.annotations) if args.annotations else vit.DEFAULT_VIDEOS:
        resized = resized_shape(height, width, resize['scale'], resize['rule'])
        sizes.append((*(-(-side // divisor) * divisor for side in resized[:2]), frames))
    with torch.autocast(args.device.split(':')[0], getattr(torch, DTYPES[args.precision]), args.precision != 'fp32'):
        seconds = vit.time_network(model, sizes, args.videos, args.warm_up, args.device)
    print(f'{processor()}, torch {torch.__version__}, {args.device}, {args.threads} threads, {args.precision}'
          f'{", compiled" if args.compile else ""}, {time.strftime("%Y-%m-%d")}')
    print(f'network alone, videos of {", ".join(f"{h}x{w}" for h, w in sorted({size[:2] for size in sizes})[:5])}: '
          f'{seconds:.4f} wall seconds a frame, {1 / seconds:.2f} frames a second (mean)')
    if args.json:
        write_json(args.json, dict(config=Path(args.config).stem, precision=args.precision, compiled=args.compile,
                                   device=args.device, seconds=seconds, date=time.strftime('%Y-%m-%d')))


def memory_of_a_config(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmvis'))
    benchmark_memory(args, cfg, lambda variant: build_model(variant, args.checkpoint, 'cpu'))


def benchmark_training(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmvis'))
    torch.set_num_threads(args.threads)
    model = build_model(cfg, None, args.device).train()
    kind = 'MixedPrecisionOptimWrapper' if args.amp else cfg.optim_wrapper.type
    optimizer = build_optim_wrapper(model, dict(cfg.optim_wrapper, type=kind))
    size = args.batch_size or cfg.train_dataloader.batch_size
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / 'sample'
        make_sample(root, splits=('train',), num_videos={'train': 2})
        images = dict(clip=dict(type='RandomClips', num_frames=1))      # of configs that train on images
        dataset = DATASETS.build({**images, **build_options(cfg.train_dataloader.dataset), 'type': 'VISDataset',
                                  'ann_file': str(root / 'train.json'), 'img_prefix': str(root / 'train/JPEGImages')})
        batch = clip_collate([dataset[index % len(dataset)] for index in range(size)])

        def step(data: Dict) -> None:
            model.train_step(data, optimizer)
            if args.device != 'cpu':
                torch.cuda.synchronize(args.device)

        if args.loader is not None:
            return benchmark_loader(cfg, args, dataset, size, step)
    seconds = []
    for _ in range(WARM_UP + args.steps):
        begin = time.perf_counter()
        step(copy.deepcopy(batch))
        seconds.append(time.perf_counter() - begin)
    height, width = batch['inputs'][0].shape[-2:]
    print(f'{processor()}, torch {torch.__version__}, {args.device}, {args.threads} threads, {time.strftime("%Y-%m-%d")}')
    print(f'{size} clips of {len(batch["inputs"][0])} frames at {width}x{height}, {kind}: '
          f'{statistics.median(seconds[WARM_UP:]):.3f} wall seconds a step (median of {args.steps})')
    print(f'peak {memory_kind(args.device)}: {peak_memory(args.device):.0f} MiB')
    if args.json:
        write_json(args.json, dict(config=Path(args.config).stem, amp=args.amp, device=args.device, clips=size,
                                   frames=len(batch['inputs'][0]), size=(height, width), date=time.strftime('%Y-%m-%d'),
                                   seconds=statistics.median(seconds[WARM_UP:]), memory_mib=peak_memory(args.device)))


def peak_memory(device: str) -> float:
    """MiB at most so far: of the process on a CPU, of tensors on a GPU."""
    if device == 'cpu':
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return torch.cuda.max_memory_allocated(device) / 2 ** 20


def memory_kind(device: str) -> str:
    return 'resident memory' if device == 'cpu' else f'memory on {torch.cuda.get_device_name(device)}'


def print_header(args: argparse.Namespace, dataset) -> None:
    chunk = dataset[0]
    height, width = chunk['video'].img_shape
    full_height, full_width = chunk['video'].ori_shape
    print(f'{platform.machine()}, {processor()}, torch {torch.__version__}, {args.device}, our network in '
          f'{args.precision}, {time.strftime("%Y-%m-%d")}')
    print(f'frames of {full_width}x{full_height} at {width}x{height}, median of {args.frames}'
          f'{f" videos of {args.whole_videos} frames" if args.whole_videos else ""}, '
          f'{"weights of " + args.checkpoint if args.checkpoint else "random weights"}')


def processor() -> str:
    for line in Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else ():
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.processor() or 'unknown processor'


def print_table(subjects: Dict[str, Callable], seconds: Dict[str, List[Seconds]], threads: int, clock: str) -> None:
    ours = seconds['mmvis']
    yard, total = median(seconds['yardstick']), median(ours)
    print(f'\n{threads} thread{"s" if threads > 1 else ""}, {clock} seconds a frame')
    print(f'  {"yardstick":28}{yard:8.4f}')
    for name in STAGES:
        print(f'  {name:28}{median(ours, name):8.4f}{median(ours, name) / yard:8.2f} yardsticks')
    objects = statistics.mean(subjects['mmvis'].objects)
    print(f'  {"all but load":28}{total:8.4f}{total / yard:8.2f} yardsticks, {objects:.1f} objects a frame')
    if isinstance(subjects['mmvis'], OurVideos):
        print(f'  {"frames per second":28}{1 / total:8.2f} over whole videos, from decoded frames to finished results')
    if 'timm' in seconds:
        vit.print_plain({name: median(ours, name) for name in STAGES}, median(seconds['timm']))
    if 'mmdet' in seconds:
        peer = seconds['mmdet']
        bare, coded = median(peer, 'network'), median(peer)
        objects = statistics.mean(subjects['mmdet'].objects)
        print(f'  {"mmdet, to binary masks":28}{bare:8.4f}{bare / yard:8.2f} yardsticks, {objects:.1f} objects a '
              f'frame; ours has {bare / total:.2f} times its frames per second')
        print(f'  {"mmdet, to run lengths":28}{coded:8.4f}{coded / yard:8.2f} yardsticks; {coded / total:.2f} times')


if __name__ == '__main__':
    run_tool(main)
