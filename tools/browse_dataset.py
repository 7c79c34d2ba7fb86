"""Shows clips of a config's training set as the model gets them, after all transforms.

    python tools/browse_dataset.py CONFIG --out DIR [--num 8]

Each clip becomes one PNG: its frames side by side, with masks, boxes, class names and instance ids. Equal ids have
equal colours.
"""
import argparse
from pathlib import Path
from typing import TYPE_CHECKING, List, Sequence

import numpy as np

import mmvis
from mmvis import datasets, engine  # what is asked of them loads PyTorch, --help does not
from mmvis.cli import ToolParser, number_in, run_tool, seed_number
from mmvis.engine import CfgOptions
from mmvis.errors import InputError
from mmvis.structures import FrameInstances, encode_masks
from mmvis.structures.output_file import check_output_folder
from mmvis.visualization import contact_sheet, draw_frame, write_image
from mmvis.visualization.names import safe_name

if TYPE_CHECKING:
    from mmvis.frame_sample import FrameSample


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Show clips of the training set after the transforms, as PNG files.')
    parser.add_argument('config', help='config file; its train_dataloader.dataset is shown')
    parser.add_argument('--out', required=True, help='folder for the pictures')
    parser.add_argument('--num', type=number_in(1), default=8, help='number of clips (default: %(default)s)')
    parser.add_argument('--seed', type=seed_number, default=0, help='draws clips and transforms (default: %(default)s)')
    parser.add_argument('--epoch', type=number_in(0), default=0, help='whose draws to show (default: %(default)s)')
    parser.add_argument('--columns', type=number_in(1), default=4, help='frames in a row (default: %(default)s)')
    parser.add_argument('--width', type=number_in(1, 8192), default=480,
                        help='of a frame in the picture (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, help='settings of the config, key=value')
    return parser.parse_args()


def draw_sample(image: np.ndarray, sample: 'FrameSample', classes: Sequence[str]) -> np.ndarray:
    """Overlay uint8 [height, width, 3] of a frame, uint8 [height, width, 3] BGR, and its annotations."""
    objects = sample.gt_instances
    instances = FrameInstances(
        sample.frame_idx, track_ids=objects.instance_ids.numpy(), labels=objects.labels.numpy(),
        scores=np.ones(len(objects), np.float32), boxes=objects.bboxes.numpy(),
        masks=encode_masks(objects.masks.numpy()))
    return draw_frame(image, instances, classes)


def describe(samples: List['FrameSample']) -> str:
    first = samples[0]
    frames = ', '.join(f'{sample.frame_idx} ({len(sample.gt_instances)} objects)' for sample in samples)
    height, width = first.img_shape
    return (f'video {first.video_id}, frames {frames}; {height} x {width}, scale {first.scale_factor:.4g}'
            f'{", flipped" if first.flip else ""}')


def main() -> None:
    args = parse_args()
    check_output_folder(args.out)
    cfg = engine.load_config(args.config, args.cfg_options)
    if (cfg.get('train_dataloader') or {}).get('dataset') is None:
        raise InputError(f'{cfg.filename} has no train_dataloader.dataset: there are no clips to show.')
    dataset = mmvis.registry.DATASETS.build(cfg.train_dataloader.dataset)
    classes = dataset.metainfo['classes']
    order = np.random.default_rng(args.seed).permutation(len(dataset))[:args.num]
    for number, index in enumerate(order.tolist()):
        item = dataset[datasets.SampleKey(args.seed, args.epoch, index)]
        images = item['inputs'].numpy().transpose(0, 2, 3, 1)
        frames = [draw_sample(np.ascontiguousarray(image), sample, classes)
                  for image, sample in zip(images, item['data_samples'])]
        path = Path(args.out) / f'{number:03d}_video{safe_name(item["data_samples"][0].video_id)}.png'
        write_image(path, contact_sheet(frames, columns=args.columns, width=args.width))
        print(f'{path}: {describe(item["data_samples"])}')


if __name__ == '__main__':
    run_tool(main)
