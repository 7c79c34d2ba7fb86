#!/usr/bin/env python3
"""Run a model over the videos of a test set: results file, AP and AR, overlays.

    python tools/test_video.py CONFIG CHECKPOINT --out results.json --eval segm
    python tools/test_video.py --model iai_condinst_r50 --out results.json          by its name: tools/list_models.py
    python tools/test_video.py CONFIG CHECKPOINT --save_vis_path DIR --thresh 0.2
    python tools/test_video.py CONFIG CHECKPOINT --out results.json --gpus 4       four processes (or on the CPU)
    python tools/test_video.py CONFIG CHECKPOINT --out results.json --upload_file  check, zip and send the results

CONFIG is a file, or its name under configs/. A run that was killed goes on when the same command is given again, also
with another number of processes, which changes nothing in the results. Without a GPU a process therefore takes one
core, however many there are: --gpus 4 takes four. (OMP_NUM_THREADS=4 gives a process four threads; then the last bits
differ.) The published spellings (--save_path, --load_result, --gpus, --show True) are understood.
"""
import argparse
import hashlib
import json
import os
import signal
import sys
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Union

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

import mmvis  # noqa: E402  (first: it supplies the operators that mmcv asks for)

# isort: split
import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.dist import is_main_process  # noqa: E402
from mmengine.model import is_model_wrapper  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

from mmvis.apis import account_from_environment, benchmark_of, find_target, pack_results, send_results  # noqa: E402
from mmvis.cli import ToBeContinued, ToolParser, number_in, run_tool  # noqa: E402
from mmvis.converters import load_checkpoint  # noqa: E402
from mmvis.converters.safetensors_file import weight_files  # noqa: E402
from mmvis.datasets import COCOClipsDataset  # noqa: E402
from mmvis.download import model_files  # noqa: E402
from mmvis.engine import CfgOptions, build_runner, check_trained, fill_class_number, load_config, spawn  # noqa: E402
from mmvis.environment import LAUNCHERS, environment_number, thread_number  # noqa: E402
from mmvis.errors import InputError, InputMissingError, of_user_path  # noqa: E402
from mmvis.evaluation import Evaluator, Rules, evaluate_image_results, image_table, official_pickle  # noqa: E402
from mmvis.evaluation.results_writer import ResultsWriter  # noqa: E402
from mmvis.evaluation.subsets import evaluate_short_long, find_long  # noqa: E402
from mmvis.models.layers.inference import optimize_for_inference  # noqa: E402
from mmvis.registry import DATASETS  # noqa: E402
from mmvis.shipped import find_checkpoint  # noqa: E402
from mmvis.structures.output_file import check_outputs  # noqa: E402
from mmvis.visualization import OverlayFolder, OverlayWindow, has_display  # noqa: E402
from mmvis.visualization.analysis import AnalysisRecorder  # noqa: E402

#: Keys of a dataset that do not decide the results: where its files are, for what is in them is compared; and what to
#: do at a damaged frame, for a run that stopped there may go on with it, and whole frames give the same either way.
_NOT_COMPARED = ('split', 'data_root', 'ann_file', 'img_prefix', 'damaged_frames')


class Output(NamedTuple):
    """The files of a run."""
    json: Path
    pickle: Optional[Path]


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Run a model over the videos of a test set.')
    parser.add_argument('config', nargs='?', help='config file, or its name under configs/')
    parser.add_argument('checkpoint', nargs='?', help='weights, in any layout that mmvis knows')
    parser.add_argument('--model', metavar='NAME', help='in place of both: a name of tools/list_models.py')
    parser.add_argument('--out', metavar='FILE',
                        help='results file; x.json is that file, x.pkl gets the pickle of the original tools and '
                             'x.pkl.json the results, any other NAME leaves NAME.json')
    parser.add_argument('--eval', nargs='+', choices=('segm', 'bbox'), metavar='segm',
                        help='print AP and AR when the annotation file has annotations')
    parser.add_argument('--load_result', '--load-result', action='store_true',
                        help='evaluate the file of --out without running the model')
    parser.add_argument('--upload_file', '--upload-file', action='store_true',
                        help='check the results and zip them for the server of the benchmark; with MMVIS_UPLOAD_USER '
                             'and MMVIS_UPLOAD_PASSWORD in the environment send them, too')
    parser.add_argument('--show', nargs='?', type=_truth, const=True, default=False, metavar='True',
                        help='show the overlays in a window; without a display they are saved')
    parser.add_argument('--save_vis_path', '--save-vis-path', '--save_path', '--save-path', metavar='DIR',
                        help='save the overlays as DIR/<video>/<frame>.jpg')
    parser.add_argument('--thresh', type=number_in(0, kind=float), default=0.3, metavar='F',
                        help='instances with a lower score are not drawn (0.3)')
    parser.add_argument('--live', action='store_true',
                        help='run the videos as if they had no end, by the rule for cameras and streams')
    parser.add_argument('--analysis', metavar='DIR',
                        help='save what the slots of InstanceFormer look at as DIR/<video id>.npz, for tools/analysis')
    parser.add_argument('--load-anyway', '--load_anyway', action='store_true',
                        help='take what fits of a checkpoint of another model')
    parser.add_argument('--precision', choices=('fp32', 'tf32', 'bf16', 'fp16'), default='fp32',
                        help='of the network (fp32); tf32: fp32 with short products, on GPUs that have it')
    parser.add_argument('--compile', action='store_true',
                        help='by torch.compile (VidEoMT, EoMT): slow at first, then faster; needs a C++ compiler')
    parser.add_argument('--use-damaged-frames', '--use_damaged_frames', action='store_true',
                        help='go on with damaged frames, as far as they can be decoded, and count them at the end; by '
                             'default the first one ends the run')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE',
                        help='change keys of the config: test_dataloader.dataset.split=train')
    parser.add_argument('--work-dir', '--work_dir', metavar='DIR',
                        help='where logs go; by default work_dirs/<name of the config>')
    parser.add_argument('--gpus', type=int, default=1, metavar='N',
                        help='start N processes on this machine, without GPUs on as many cores (1)')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what has started this process')
    parser.add_argument('--proc_per_gpu', '--proc-per-gpu', type=int, default=1, help=argparse.SUPPRESS)  # always one
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.model is None and args.checkpoint is None:
        parser.error('a config and a checkpoint are required, or --model NAME')
    if args.model is not None and args.config is not None:
        parser.error('--model stands for a config and a checkpoint: leave them out')
    return args


def _truth(text: str) -> bool:
    words = {'true': True, '1': True, 'yes': True, 'false': False, '0': False, 'no': False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f'True or False is expected, not {text!r}')
    return words[text.lower()]


def main() -> None:
    args = parse_args()
    if not (args.out or args.eval or args.upload_file or args.show or args.save_vis_path or args.analysis):
        raise InputError('Nothing is asked for: give at least one of --out FILE, --eval segm, --upload_file, --show, '
                         '--save_vis_path DIR, --analysis DIR.')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.model is not None:
        args.config, args.checkpoint = model_files(args.model)
    cfg = read_config(args)
    if args.load_result:
        return evaluate_existing(cfg, args)
    if not os.path.exists(args.checkpoint):
        raise InputMissingError(f'Checkpoint {args.checkpoint} does not exist.')
    if args.launcher == 'none' and (args.gpus != 1 or environment_number('NNODES', 1, minimum=1) > 1):
        args.launcher = 'pytorch'
        os.environ['OMP_NUM_THREADS'] = str(thread_number(1))  # see set_threads
        spawn(test_process, args.gpus, args, job=f'test_video {Path(args.config).stem}')
    else:
        test(cfg, args)


def test_process(args: argparse.Namespace) -> None:
    """What each of the N processes of --gpus runs. It reads the config itself: that imports the modules it names."""
    test(read_config(args), args)


def read_config(args: argparse.Namespace) -> Config:
    """The config with the arguments put into it."""
    cfg = load_config(args.config, args.cfg_options)
    if cfg.get('model') is None or cfg.get('test_dataloader') is None:
        raise InputError(f'{cfg.filename} has no model or no test_dataloader: it is not the config of a test.')
    if not args.load_result:
        args.checkpoint = find_checkpoint(args.checkpoint)
        fill_class_number(cfg, args.checkpoint)
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or os.path.join('work_dirs', Path(cfg.filename).stem)
    cfg.launcher = args.launcher
    for key in list(cfg):
        if key.startswith(('train_', 'val_')) or key in ('optim_wrapper', 'param_scheduler'):
            cfg.pop(key)
    if args.use_damaged_frames:
        cfg.test_dataloader.dataset.damaged_frames = 'use'
    metrics = cfg.get('test_evaluator') or []
    metrics = [metrics] if isinstance(metrics, dict) else metrics
    cfg.metric = next((metric for metric in metrics if metric.get('type') == 'VISMetric'), {})
    # The results are evaluated from their file, the same way as by --load_result and after a resumed run.
    cfg.update(load_from=None, resume=False, test_evaluator=[], test_cfg=dict(type='VideoTestLoop'))
    return cfg


def output_files(args: argparse.Namespace, work_dir: str) -> Optional[Output]:
    """Where the results go. Without ``--out`` it is the work directory; None for drawing only."""
    if args.out is None:
        needed = args.eval or args.load_result or args.upload_file
        return Output(Path(work_dir) / 'results.json', None) if needed else None
    out = Path(args.out)
    if out.is_dir():
        return Output(out / 'results.json', None)
    if out.suffix == '.json':
        return Output(out, None)
    return Output(out.with_name(f'{out.name}.json'), out if out.suffix in ('.pkl', '.pickle') else None)


def test(cfg: Config, args: argparse.Namespace) -> None:
    """Run the videos of this process; the first process writes and evaluates the results of all."""
    output = output_files(args, cfg.work_dir)
    set_threads()
    runner = build_runner(cfg)
    loop = runner.test_loop
    dataset = loop.dataset
    if output is not None:
        zip_path = output.json.with_suffix('.zip') if args.upload_file else None
        check_outputs([*output, zip_path], [cfg.filename, args.checkpoint, dataset.ann_file])
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    report = load_checkpoint(model, args.checkpoint, logger=runner.logger)
    check_trained(report, args.checkpoint, model, dataset.metainfo['classes'], args.load_anyway)
    if args.analysis:
        if not hasattr(model, 'recorder'):
            raise InputError(f'--analysis is for InstanceFormer, not for {type(model).__name__}.')
        model.recorder = AnalysisRecorder(Path(args.analysis))
    optimize_for_inference(model, args.precision, args.compile)
    if args.eval:
        check_can_evaluate(dataset)
    if output is not None:
        loop.writer = ResultsWriter(str(output.json), dataset.video_ids, dataset.metainfo['category_ids'],
                                    describe_run(cfg, args, dataset), output.pickle, frames_of(dataset))
    loop.live = args.live
    loop.sinks = drawers(args, dataset, cfg.work_dir)
    try:
        runner.test()
    except KeyboardInterrupt as stop:
        if output is None:
            raise
        if is_main_process():
            print(f'Stopped. Finished videos are kept in {loop.writer.kept_in}; give the same command again to go on.',
                  flush=True)
        if getattr(stop, 'number', signal.SIGINT) == signal.SIGINT:
            raise
        raise ToBeContinued from None
    if output is not None and is_main_process():
        print(f'Results: {output.json}' + (f' and {output.pickle}' if output.pickle else ''), flush=True)
        if loop.writer.finished and (args.analysis or loop.sinks):
            print(f'{len(loop.writer.finished)} of the videos were finished by an earlier run: pictures and analysis of '
                  'them are what that run was asked for. Another --out makes all anew.', flush=True)
        if args.eval:
            evaluate(output.json, dataset, args.eval, cfg.metric)
        if args.upload_file:
            submit(output.json, dataset)


def set_threads() -> None:
    """On a CPU: one thread a process, or ``OMP_NUM_THREADS``, whatever the number of cores and processes.

    Sums that are split over another number of threads differ in their last bits, and the results with them.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(thread_number(1))


def describe_run(cfg: Config, args: argparse.Namespace, dataset) -> Dict[str, Any]:
    """What decides the results: what a killed run has left is used only if all of it is the same.

    Files stand with what is in them (0.6 seconds a gigabyte; they are read anyway), so a file that was touched, copied
    or moved is the same. Frames: see ``frames_of``.
    """
    settings = {key: value for key, value in cfg.test_dataloader.dataset.items() if key not in _NOT_COMPARED}
    return dict(annotations=_file_digest(dataset.ann_file), checkpoint=_checkpoint_digest(args.checkpoint),
                videos=len(dataset.videos), classes=list(dataset.metainfo['category_ids']), precision=args.precision,
                live=args.live, model=_digest(cfg.model), test_dataloader=_digest(settings), mmvis=mmvis.__version__)


def frames_of(dataset) -> Callable[[Union[int, str]], Optional[List[List[int]]]]:
    """What the frames of a video are recognised by: bytes and CRC-32 of the files of the first and of the last one.

    None for a video whose frames cannot be read; running it says why.
    """
    index = {video_id: number for number, video_id in enumerate(dataset.video_ids)}

    def state(video_id: Union[int, str]) -> Optional[List[List[int]]]:
        names = dataset.videos[index[video_id]].file_names
        try:
            return [_file_state(Path(dataset.img_prefix, name)) for name in (names[0], names[-1])]
        except (OSError, IndexError):
            return None

    return state


def _file_state(path: Path) -> List[int]:
    """Bytes of a file and CRC-32 of it, or of its first 16 MB."""
    size = os.stat(path).st_size
    if not path.is_file():  # opening a pipe would hang
        raise FileNotFoundError(path)
    with open(path, 'rb') as file:
        return [size, zlib.crc32(file.read(1 << 24))]


def _checkpoint_digest(path: str) -> str:
    if not os.path.isdir(path):
        return _file_digest(path)
    return _digest([_file_digest(file) for file in weight_files(path)])


def _file_digest(path: str) -> str:
    digest = hashlib.sha256()
    with of_user_path(path), open(path, 'rb') as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _digest(part: Any) -> str:
    return hashlib.sha256(json.dumps(part, sort_keys=True, default=str).encode()).hexdigest()[:16]


def drawers(args: argparse.Namespace, dataset, work_dir: str) -> List[Any]:
    """The sinks that --show and --save_vis_path ask for."""
    folder = args.save_vis_path
    if args.show and folder is None:
        if has_display():
            return [OverlayWindow(dataset, args.thresh)] if is_main_process() else []
        folder = os.path.join(work_dir, 'vis')
        if is_main_process():
            print(f'There is no display to show pictures on: they are saved to {folder}.', flush=True)
    return [OverlayFolder(dataset, Path(folder), args.thresh)] if folder else []


def evaluate_existing(cfg: Config, args: argparse.Namespace) -> None:
    """--load_result: our results file, or, where it is not there, the pickle alone (that of an original tool)."""
    output = output_files(args, cfg.work_dir)
    init_default_scope('mmvis')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    source = output.json
    if not source.is_file() and output.pickle is not None and output.pickle.is_file():
        videos = list(zip(dataset.video_ids, map(int, dataset.video_lengths)))
        frames = official_pickle.read(output.pickle)
        source = official_pickle.to_results(frames, videos, dataset.metainfo['category_ids'])
    elif not source.is_file():
        raise InputMissingError(f'--load_result: there is no results file {source}; run without --load_result first.')
    if args.eval or not args.upload_file:
        evaluate(source, dataset, args.eval or ['segm'], cfg.metric)
    if args.upload_file:
        submit(output.json, dataset)


def check_can_evaluate(dataset) -> None:
    """COCO has no ground truth for the classes of a video set."""
    if isinstance(dataset, COCOClipsDataset) and dataset.target is not None:
        raise InputError(f'--eval: the data set has the classes of {dataset.target}, and {dataset.ann_file} those of COCO: '
                         'leave target or --eval out, or test on a video set.')


def evaluate(results, dataset, kinds: List[str], metric: Dict[str, Any]) -> None:
    """Print AP and AR of a results file (or of its entries) by the rules of the config's VISMetric; of images, COCO's."""
    check_can_evaluate(dataset)
    if not dataset.has_annotations:
        print(f'{dataset.ann_file} has no annotations, so nothing can be evaluated here; the results file is for the '
              f'server of the data set.', flush=True)
        return
    if 'bbox' in kinds:
        print('The benchmarks of video instance segmentation compare masks: bbox is not evaluated, segm is.')
    if len(dataset.videos) < len(dataset.index):
        print(f'{len(dataset.videos)} of the {len(dataset.index)} videos of {dataset.ann_file} were run: the others '
              f'count as missed.')
    if isinstance(dataset, COCOClipsDataset):
        print(image_table(evaluate_image_results(results, dataset.ann_file)), flush=True)
        return
    evaluator = Evaluator(results, dataset.ann_file, Rules(metric.get('benchmark', 'ytvis')),
                          category_ids=dataset.metainfo['category_ids'])
    print(evaluator.evaluate().table(), flush=True)
    long_ids, long_frames = metric.get('long_ids'), metric.get('long_frames')
    if long_ids is not None or long_frames is not None:
        parts = evaluate_short_long(evaluator, find_long(evaluator.truth, long_ids, long_frames))
        print(f'\nShort and long videos\n{parts.table()}', flush=True)


def submit(results: Path, dataset) -> None:
    """--upload_file: check the results, zip them beside their file, and send them when an account is given."""
    benchmark, account = benchmark_of(dataset.metainfo['name']), account_from_environment()
    zip_path = results.with_suffix('.zip')
    pack_results(results, find_target(dataset.ann_file, benchmark), zip_path)
    if benchmark is None:
        print(f'{dataset.metainfo["name"]} has no server of its own: {zip_path} is not sent.', flush=True)
    elif account is None:
        print(f'To send it: python tools/upload_results.py {zip_path} --server URL --competition ID', flush=True)
    else:
        send_results(zip_path, benchmark, account)


if __name__ == '__main__':
    run_tool(main)
