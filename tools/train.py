#!/usr/bin/env python3
"""Train a model.

    python tools/train.py CONFIG                            one process
    python tools/train.py CONFIG --gpus 4                   four processes (without GPUs: four on the CPU)
    python tools/train.py CONFIG --resume                   go on from the latest checkpoint of the work directory

CONFIG is a file, or its name under configs/. The published spellings (--work_dir, --resume_from, --validate, --gpus)
are understood.
"""
import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis import engine  # noqa: E402  (what is asked of it loads PyTorch, --help does not)
from mmvis.cli import ToolParser, number_in, run_tool, seed_number  # noqa: E402
from mmvis.engine import CfgOptions  # noqa: E402
from mmvis.environment import LAUNCHERS, environment_number  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.shipped import find_checkpoint  # noqa: E402

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Train a model.', formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='config file, or its name under configs/')
    parser.add_argument('--work-dir', '--work_dir', metavar='DIR',
                        help='where checkpoints and logs go; by default work_dirs/<name of the config>')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='FILE',
                        help='go on from FILE, or from the latest checkpoint of the work directory')
    parser.add_argument('--resume-from', '--resume_from', dest='resume', metavar='FILE', default=argparse.SUPPRESS,
                        help='the same as --resume FILE')
    parser.add_argument('--load-from', '--load_from', metavar='FILE', help='start a new training from these weights')
    parser.add_argument('--validate', action='store_true',
                        help='validate, after every epoch or as often as val_interval of the config says')
    parser.add_argument('--amp', action='store_true',
                        help='mixed precision: bfloat16, or float16 on a GPU without it; nothing on a CPU without it')
    parser.add_argument('--precision', choices=('fp32', 'tf32'),
                        help='what float32 is on a GPU of the Ampere generation or newer: tf32 in convolutions and '
                        "products, fp32 in neither; by default PyTorch's: tf32 in convolutions, as in published trainings")
    parser.add_argument('--auto-scale-lr', '--autoscale-lr', action='store_true',
                        help='learning rate in proportion to the samples a step')
    parser.add_argument('--global-batch', nargs='?', const=0, type=number_in(1), metavar='CLIPS',
                        help='clips a step, whatever the number of processes: batches become smaller, or gradients '
                        'accumulate; without a number those of the recipe, auto_scale_lr.base_batch_size')
    parser.add_argument('--seed', type=seed_number,
                        help='seed of data and weights; by default one is drawn and printed')
    parser.add_argument('--deterministic', action='store_true', help='deterministic algorithms where there are some')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE',
                        help='change keys of the config: train_dataloader.batch_size=4')
    parser.add_argument('--gpus', type=int, default=1, metavar='N', help='start N processes on this machine')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='what has started this process')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args)
    if args.launcher == 'none' and (args.gpus != 1 or environment_number('NNODES', 1, minimum=1) > 1):
        args.launcher = 'pytorch'
        engine.spawn(train_process, args.gpus, args, job=f'train {Path(args.config).stem}')
    else:
        train(cfg)


def read_config(args: argparse.Namespace) -> 'Config':
    """The config, with the arguments put into it."""
    cfg = engine.load_config(args.config, args.cfg_options)
    if 'val_interval' in (args.cfg_options or {}) and not args.validate:
        raise InputError('--cfg-options val_interval is for --validate, which is not given.')
    for key in ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper'):
        if cfg.get(key) is None:
            raise InputError(f'{cfg.filename} has no {key}: it is not the config of a training.')
    if args.precision:
        engine.use_precision(args.precision)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or os.path.join('work_dirs', Path(cfg.filename).stem)
    if args.resume:
        cfg.resume = True if args.resume == 'auto' else args.resume
    if args.load_from:
        cfg.load_from = find_checkpoint(args.load_from)
    if args.amp:
        cfg.optim_wrapper.type = 'MixedPrecisionOptimWrapper'
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise InputError(f'{cfg.filename} has no auto_scale_lr.base_batch_size, which --auto-scale-lr goes by.')
        cfg.auto_scale_lr.enable = True
    if args.global_batch is not None:
        engine.use_global_batch(cfg, number_of_processes(args), args.global_batch)
    cfg.setdefault('randomness', dict(seed=None))
    if args.seed is not None:
        cfg.randomness.seed = args.seed
    if args.deterministic:
        cfg.randomness.deterministic = True
    set_validation(cfg, args.validate)
    return cfg


def number_of_processes(args: argparse.Namespace) -> int:
    """Of the whole job; the process that is to start the others knows it from the command."""
    if args.launcher == 'none':
        return args.gpus * environment_number('NNODES', 1, minimum=1)
    return int(engine.launcher_variables(args.launcher, os.environ)['WORLD_SIZE'])


def set_validation(cfg: 'Config', validate: bool) -> None:
    """How often is validated: ``train_cfg.val_interval``, which stands for itself, or with --validate ``val_interval``
    of the config, in the unit of the training (iterations or epochs; one epoch if there is none)."""
    if validate and not cfg.train_cfg.get('val_interval'):
        by_iterations = 'max_iters' in cfg.train_cfg
        if by_iterations and not cfg.get('val_interval'):
            raise InputError(f'{cfg.filename} counts iterations and has no val_interval: say after how many --validate is to '
                             'validate, --cfg-options train_cfg.val_interval=N.')
        cfg.train_cfg.val_interval = cfg.get('val_interval') or 1
    if not cfg.train_cfg.get('val_interval'):  # then the validation data need not be there
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    elif cfg.get('val_dataloader') is None:
        raise InputError(f'{cfg.filename} has no val_dataloader to validate with.')
    if any(cfg.get(f'test_{part}') is None for part in ('cfg', 'dataloader', 'evaluator')):  # all or none, says mmengine
        cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None


def train_process(args: argparse.Namespace) -> None:
    """What each of the N processes of --gpus runs."""
    train(read_config(args))


def train(cfg: 'Config') -> None:
    runner = engine.build_runner(cfg)
    try:
        runner.train()
    except KeyboardInterrupt:
        if runner.rank == 0:
            files = engine.find_checkpoints(runner.work_dir)
            hint = f'The last checkpoint is {files[0]}: --resume goes on from it.' if files else 'No checkpoint yet.'
            print(f'Stopped in iteration {runner.iter + 1}. {hint}', flush=True)
        raise


if __name__ == '__main__':
    run_tool(main)
