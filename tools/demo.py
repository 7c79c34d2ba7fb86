#!/usr/bin/env python3
"""Detect, segment and track what is in a video, in pictures or before a camera: an overlay video and a results file.

    python tools/demo.py street.mp4                                   output/demo/overlay.mp4 and results.json
    python tools/demo.py street.mp4 --model iai_condinst_r50          a model by its name: tools/list_models.py
    python tools/demo.py FOLDER --config CONFIG --checkpoint FILE --save_vis street.mp4 --out street.json
    python tools/demo.py 0 --show                                     camera 0 in a window; q or Ctrl-C ends it
    python tools/demo.py rtsp://ADDRESS --max-frames 1000
    python tools/demo.py a.mp4 b.mp4 clips/ "more/*.mov"              output/demo/<video>.json and <video>.mp4 for each
    python tools/demo.py FOLDER --config eomt_... --checkpoint FILE   output/demo/results.json and overlay/<picture>

SOURCE is a video file, a folder of pictures, a glob ("frames/*.jpg"), a picture, the number of a camera or an address;
a folder or glob of videos stands for each of them. Of several sources every one has its results and its overlay, named
after it; a broken one does not end the run, which ends with a table, and with exit code 1 if one of them failed.
To a system that segments images (EoMT, Mask2Former) pictures are no video: they may have any sizes, the results are a
list of COCO, the overlays are pictures, and a picture that is broken is told and passed over.
Without --model, --config and --checkpoint a small model runs that knows the eight shapes of the sample set and nothing else.
Ctrl-C ends the run after the frame at hand; the files are then complete up to there.
"""
import argparse
import itertools
import os
import signal
import sys
import time
from collections import deque
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Deque, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

import mmvis  # noqa: E402  (first: it quietens OpenCV and Ctrl-C)

# isort: split
import cv2  # noqa: E402
import numpy as np  # noqa: E402

from mmvis import apis, engine, evaluation  # noqa: E402  (what is asked of them loads PyTorch, --help does not)
from mmvis.apis import FrameSource, Pictures, expand_sources, open_source  # noqa: E402
from mmvis.cli import ToolParser, describe, error_sentence, number_in, printable, run_tool  # noqa: E402
from mmvis.datasets.images import DamagedFrames  # noqa: E402
from mmvis.download import model_files  # noqa: E402
from mmvis.engine import CfgOptions  # noqa: E402
from mmvis.errors import InputError, InputMissingError  # noqa: E402
from mmvis.model_zoo import find_model, on_disk  # noqa: E402
from mmvis.records import image_ids, image_results  # noqa: E402
from mmvis.structures import FrameInstances  # noqa: E402
from mmvis.structures.output_file import check_outputs  # noqa: E402
from mmvis.visualization import PictureFiles, VideoFile, draw_frame, has_display  # noqa: E402
from mmvis.visualization.appearance import AppearanceOrder  # noqa: E402
from mmvis.visualization.names import safe_name  # noqa: E402

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmvis.apis import VISPredictor
    from mmvis.evaluation import ResultsWriter

#: Models of a call that names none: the first whose checkpoint is there.
DEFAULT_MODELS = ('condinst_iai_sample', 'masktrack_rcnn_sample')
OUT, OVERLAY = 'output/demo/results.json', 'output/demo/overlay.mp4'
_TITLE = 'mmvis: q ends'
_INTERVAL = 5.  # seconds between two lines of progress


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='Detect, segment and track what is in a video, in pictures or before a camera.')
    parser.add_argument('source', nargs='+', metavar='SOURCE',
                        help='video file, folder of pictures or of videos, glob, picture, number of a camera, or '
                             'address')
    parser.add_argument('--config', help='config file, or its name under configs/')
    parser.add_argument('--checkpoint', help='weights, in any layout that mmvis knows')
    parser.add_argument('--model', metavar='NAME',
                        help='in place of both: a name of tools/list_models.py, or what tools/publish_model.py has made '
                             '(file, folder, or OWNER/NAME on the Hugging Face hub)')
    parser.add_argument('--out', metavar='FILE',
                        help=f'results file; the video has the id 1 ({OUT}). Of several sources: folder of their files')
    parser.add_argument('--save_vis', '--save-vis', metavar='FILE.mp4',
                        help=f'overlay video ({OVERLAY}, but none with --show). Of several sources: folder of theirs; '
                             'of pictures that are no video: folder of the overlays')
    parser.add_argument('--show', action='store_true', help='show the overlays in a window')
    parser.add_argument('--thresh', type=number_in(0, kind=float), default=0.3, metavar='F',
                        help='instances with a lower score are not drawn; the results file has all (%(default)g)')
    parser.add_argument('--max-frames', '--max_frames', type=number_in(1), metavar='N', help='end after so many frames')
    parser.add_argument('--use-damaged-frames', '--use_damaged_frames', action='store_true',
                        help='go on with damaged pictures, as far as they can be decoded, and count them at the end; '
                             'by default the first one ends the run')
    parser.add_argument('--fps', type=number_in(0.01, 1000, float), metavar='F',
                        help='of the overlay video (that of the source, else 10)')
    parser.add_argument('--device', help="'cpu', 'cuda:1', ... (the GPU if there is one)")
    parser.add_argument('--load-anyway', '--load_anyway', action='store_true',
                        help='take what fits of a checkpoint of another model')
    parser.add_argument('--precision', choices=('fp32', 'tf32', 'bf16', 'fp16'), default='fp32',
                        help='of the network (fp32)')
    parser.add_argument('--compile', action='store_true',
                        help='by torch.compile (VidEoMT, EoMT): slow at first, then faster; needs a C++ compiler')
    parser.add_argument('--live', action='store_true',
                        help='run a file as if it had no end, by the rule for cameras and streams')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE',
                        help='change keys of the config')
    args = parser.parse_intermixed_args()
    args.sources = expand_sources(args.source)
    return args


def choose_model(args: argparse.Namespace) -> Tuple['Config', str]:
    """Config and checkpoint: those given, else those of the sample set."""
    config, checkpoint = name_model(args)
    if isinstance(config, str):
        return engine.load_config(config, args.cfg_options), checkpoint
    if args.cfg_options:
        raise InputError('--cfg-options changes a config file, and a published model has none.')
    return config, checkpoint


def name_model(args: argparse.Namespace) -> Tuple[Union[str, 'Config'], str]:
    """As ``choose_model``; a published model brings its config, of another one it is the name."""
    if args.model and (args.config or args.checkpoint):
        raise InputError('--model stands for a config and a checkpoint: leave out --config and --checkpoint.')
    if args.model and (os.path.exists(args.model) or '/' in args.model):
        published = apis.find_published(args.model)
        return apis.read_published(published), published
    if args.model:
        return model_files(args.model)
    if args.config and args.checkpoint:
        return args.config, args.checkpoint
    if args.config or args.checkpoint:
        raise InputError('Give --config and --checkpoint together, or --model, or none of them for the small model of the '
                         'sample set.')
    for name in DEFAULT_MODELS:
        if on_disk(find_model(name)):
            print(f'No --model: {name} runs, which knows the shapes of the sample set only.')
            return model_files(name)
    raise InputMissingError(f'No --model, and the checkpoint of {DEFAULT_MODELS[-1]} is missing.')


def segments_images(config: 'Config') -> bool:
    """Whether the system of a config takes every picture by itself; known before the model is built."""
    kind = (config.get('model') or {}).get('type')
    return isinstance(kind, str) and getattr(mmvis.registry.MODELS.get(kind), 'SEGMENTS_IMAGES', False)


class Stop:
    """Ctrl-C and SIGTERM ask for an end after the frame at hand; a second one ends the process at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> 'Stop':
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, *signal_and_frame) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class View:
    """Draws every frame: into a file, into a window, or both.

    A file that cannot be written ends the drawing, not the run.

    Args:
        file: that takes the drawings; None without one.

    Attributes:
        path: of the file or of the folder of the files.
        fault: why it cannot be written.
    """

    def __init__(self, file: Union[VideoFile, PictureFiles, None], window: bool, classes: Optional[Tuple[str, ...]],
                 thresh: float, stop: Stop) -> None:
        self.file, self.window, self.classes, self.thresh, self.stop = file, window, classes, thresh, stop
        self.path = file and file.path
        self.fault: Optional[InputError] = None
        self.order = AppearanceOrder()

    @property
    def is_drawing(self) -> bool:
        return self.file is not None or self.window

    def add(self, image: np.ndarray, frame: FrameInstances) -> None:
        if not self.is_drawing:
            return
        picture = draw_frame(image, frame, self.classes, self.thresh, numbers=self.order.numbers(frame))
        if self.file:
            with self._kept():
                self.file.add(picture)
            if self.fault:
                print(f'{self.fault} The run goes on for the results.', flush=True)
        if self.window:
            cv2.imshow(_TITLE, picture)
            self.stop.asked |= cv2.waitKey(1) & 0xff == ord('q')

    def skip(self) -> None:
        """There is no drawing of a picture."""
        if self.file:
            self.file.skip()

    def close(self) -> None:
        if self.file:
            with self._kept():
                self.file.close()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except InputError as fault:
            self.file.discard()
            self.file, self.fault = None, fault


def track(source: FrameSource, predictor: 'VISPredictor', writer: 'ResultsWriter', view: View, stop: Stop,
          max_frames: Optional[int]) -> Tuple[int, Optional[Exception]]:
    """Run a source to its end, or until it is to stop; returns the number of frames, and what went wrong in the
    middle, if something did.

    The frames before a fault are written as if the video ended there. Pictures wait for their results, as many as the
    model is behind; where all results come at the end, the source is read again for the drawing.
    """
    waiting: Deque[np.ndarray] = deque()
    at_end = predictor.lag is None
    progress, fault = Progress(source.num_frames), None

    images = itertools.islice(source, max_frames)
    while not stop.asked or predictor.video is None:
        try:
            image = next(images, None)
            result = None if image is None else predictor.step(image)
        except Exception as error:
            if predictor.video is None:
                raise
            fault = error
            break
        if image is None:
            break
        progress.add()
        if not at_end:
            waiting.append(image)
        if predictor.frame_idx == 1:
            writer.open()
            writer.start(predictor.video)
        if result is not None:
            writer.add(result)
            view.add(waiting.popleft(), result)
    try:
        rest, tracks = predictor.finish()
    except Exception as error:
        raise fault or error
    pictures = iter(source if at_end and view.is_drawing else waiting)
    for result in rest:
        writer.add(result)
        if view.is_drawing and pictures is not None:
            try:
                picture = next(pictures)
            except Exception as error:  # the file was changed meanwhile: the results are whole all the same
                fault, pictures = fault or error, None
            else:
                view.add(picture, result)
    writer.end(tracks)
    print(f'{progress.frames} frames, {len(tracks)} tracks{", stopped" if stop.asked else ""}', flush=True)
    return progress.frames, fault


def segment(source: Pictures, predictor: 'VISPredictor', results: str, view: View, stop: Stop,
            max_frames: Optional[int]) -> Tuple[int, int, Optional[Exception]]:
    """Pictures by themselves, of any sizes, as a list of COCO; returns the numbers of images and instances, and what
    went wrong, if something did.

    A picture that cannot be read is told and passed over.
    """
    files, numbers = source.files[:max_frames], image_ids(source.files)
    progress, instances, broken = Progress(len(files)), 0, 0
    fault: Optional[Exception] = None
    with image_results(results, predictor.category_ids or range(1000)) as add:
        for file, image_id in zip(files, numbers):
            if stop.asked:
                break
            try:
                image = source.read(file)
            except InputError as error:
                print(error, flush=True)
                broken += 1
                view.skip()
                continue
            try:
                found = predictor.segment(image, image_id)
            except Exception as error:  # what is done stays
                fault = error
                break
            add(image_id, os.path.basename(file), found)
            view.order = AppearanceOrder()  # identities do not go on
            view.add(image, found)
            progress.add()
            instances += len(found)
    if broken and fault is None:
        fault = InputError(f'{broken} of {len(files)} pictures of {source.name} cannot be read.')
    print(f'{progress.frames} images, {instances} instances{", stopped" if stop.asked else ""}', flush=True)
    return progress.frames, instances, fault


class Progress:
    """A line every few seconds."""

    def __init__(self, num_frames: Optional[int]) -> None:
        self.frames, self.of = 0, f' of {num_frames}' if num_frames else ''
        self._last = (time.perf_counter(), 0)

    def add(self) -> None:
        """A frame was taken in."""
        self.frames += 1
        now, (then, before) = time.perf_counter(), self._last
        if now - then >= _INTERVAL:
            print(f'frame {self.frames}{self.of}, {(self.frames - before) / (now - then):.1f} frames/s', flush=True)
            self._last = (now, self.frames)


class Outputs(NamedTuple):
    """Of one source: the results file, the overlay video (of pictures by themselves: a folder) or None."""
    results: str
    overlay: Optional[str]


class Report(NamedTuple):
    """What became of a source; ``fault`` is None if all went well."""
    source: str
    frames: int
    tracks: int
    seconds: float
    outputs: Outputs
    fault: Optional[Exception]


def name_outputs(args: argparse.Namespace, window: bool) -> List[Outputs]:
    """The outputs of every source."""
    if len(args.sources) == 1:
        return [Outputs(args.out or OUT, args.save_vis or (None if window else OVERLAY))]
    results, overlays = Path(args.out or Path(OUT).parent), Path(args.save_vis or args.out or Path(OVERLAY).parent)
    taken, outputs = set(), []
    for source in args.sources:
        stem = name = safe_name(Path(source).stem if '://' not in source else source)
        for number in itertools.count(2):
            if name not in taken:
                break
            name = f'{stem}_{number}'
        taken.add(name)
        show_only = window and not args.save_vis
        outputs.append(Outputs(str(results / f'{name}.json'), None if show_only else str(overlays / f'{name}.mp4')))
    return outputs


def fit_overlay(outputs: Outputs, apart: bool, asked: Optional[str]) -> Outputs:
    """The overlays of pictures that stand ``apart`` go into a folder, those of a video into a file.

    Args:
        asked: --save_vis of the one source.
    """
    if asked and apart == (Path(asked).suffix.lower() == '.mp4'):
        wanted = 'a folder for pictures that are no video' if apart else 'a file ending in .mp4'
        raise InputError(f'--save_vis takes {wanted}, not {asked}.')
    if apart and outputs.overlay and not asked:
        return outputs._replace(overlay=str(Path(outputs.overlay).with_suffix('')))
    return outputs


def overlay_file(outputs: Outputs, source: FrameSource, apart: bool, fps: Optional[float],
                 inputs: Sequence[str] = ()) -> Union[VideoFile, PictureFiles, None]:
    """What takes the overlays of a source.

    Raises:
        InputError, InputFileError: it cannot be written, or would replace an input.
    """
    if not outputs.overlay:
        return None
    if not apart:
        return VideoFile(outputs.overlay, fps or source.fps or 10., inputs)
    top = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in source.files])
    return PictureFiles(outputs.overlay, [os.path.relpath(file, top) for file in source.files],
                        [*source.files, *inputs])


def check(outputs: Outputs, source: FrameSource, apart: bool, inputs: Sequence[str]) -> None:
    """Refuse outputs that cannot be written or are inputs, before any work."""
    inputs = [*inputs, *getattr(source, 'files', ())]
    check_outputs([outputs.results, None if apart else outputs.overlay], inputs)
    overlay_file(outputs, source, apart, None, inputs)


def run_pictures(args: argparse.Namespace, source: Pictures, outputs: Outputs, predictor: 'VISPredictor', window: bool,
                 stop: Stop) -> Report:
    """Results and overlays of pictures by themselves."""
    start = time.perf_counter()
    print(f'{type(predictor.model).__name__} on {predictor.device}: {source.name}', flush=True)
    with closing(View(overlay_file(outputs, source, True, None), window, predictor.classes, args.thresh, stop)) as view:
        images, instances, fault = segment(source, predictor, outputs.results, view, stop, args.max_frames)
    tell_outputs(args, outputs, view)
    return Report(source.name, images, instances, time.perf_counter() - start, outputs, fault or view.fault)


def tell_outputs(args: argparse.Namespace, outputs: Outputs, view: View) -> None:
    drawn = [] if view.fault or not view.path else [f'{view.path} (instances with a score of {args.thresh:g} or more)']
    print(', '.join([outputs.results, *drawn]), flush=True)


def run_source(args: argparse.Namespace, source: FrameSource, outputs: Outputs, predictor: 'VISPredictor', window: bool,
               stop: Stop) -> Report:
    """Results and overlay of one video, as far as it can be read."""
    start = time.perf_counter()
    predictor.reset(live=args.live or source.live, again=None if source.live else source)
    lag = predictor.lag
    behind = ', results at the end' if lag is None else f', {lag} frames behind' if lag else ''
    decoder = f' ({source.decoder})' if source.decoder else ''
    print(f'{type(predictor.model).__name__} on {predictor.device}{behind}: {source.name}{decoder}', flush=True)
    # Where nothing tells the category ids, the labels stand for them.
    writer = evaluation.ResultsWriter(outputs.results, [predictor.video_id], predictor.category_ids or range(1000),
                           dict(source=source.name, time=time.time()))
    with closing(writer), closing(View(overlay_file(outputs, source, False, args.fps), window, predictor.classes,
                                       args.thresh, stop)) as view:
        frames, fault = track(source, predictor, writer, view, stop, args.max_frames)
        writer.join()
    tell_outputs(args, outputs, view)
    return Report(source.name, frames, len(predictor.tracks), time.perf_counter() - start, outputs, fault or view.fault)


def run_sources(args: argparse.Namespace, outputs: List[Outputs], predictor: 'VISPredictor', window: bool,
                damaged: Optional[DamagedFrames], inputs: Sequence[str]) -> List[Report]:
    """All sources one after another; what is wrong with one is told and the next begins."""
    reports = []
    with Stop() as stop:
        for name, own in zip(args.sources, outputs):
            if stop.asked:
                break
            try:
                source = open_source(name, damaged)
                apart = predictor.model.SEGMENTS_IMAGES and isinstance(source, Pictures)
                own = fit_overlay(own, apart, None)
                check(own, source, apart, [name, *args.sources, *inputs])
                run = run_pictures if apart else run_source
                reports.append(run(args, source, own, predictor, window, stop))
            except Exception as error:  # a bug is told in the table by its sentence and kept for the end
                reports.append(Report(name, 0, 0, 0., own, error))
            if reports[-1].fault:
                print(describe(reports[-1].fault).text, flush=True)
    return reports


def table(reports: Sequence[Report]) -> str:
    """A line a source."""
    rows = [('source', 'frames', 'tracks', 'seconds', 'results')]
    rows += [(printable(report.source), str(report.frames), str(report.tracks), f'{report.seconds:.1f}',
              report.outputs.results if report.frames else 'none') for report in reports]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [f'{row[0]:<{widths[0]}}  ' + '  '.join(f'{cell:>{width}}' for cell, width in zip(row[1:4], widths[1:4]))
             + f'  {row[4]}' for row in rows]
    return '\n'.join(line + (f': {error_sentence(report.fault)}' if report and report.fault else '')
                     for line, report in zip(lines, [None, *reports]))


def main() -> None:
    args = parse_args()
    config, checkpoint = choose_model(args)
    damaged = DamagedFrames() if args.use_damaged_frames else None
    window = args.show and has_display()
    outputs = name_outputs(args, window)
    if args.show and not window:
        print('There is no display to show pictures on: they go to files.')
    inputs = [*([config.filename] if config.filename else []), checkpoint]
    many = len(outputs) > 1
    if not many:  # before the model: a wrong name is told at once
        source = open_source(args.sources[0], damaged)
        apart = isinstance(source, Pictures) and segments_images(config)
        outputs = [fit_overlay(outputs[0], apart, args.save_vis)]
        check(outputs[0], source, apart, [args.sources[0], *inputs])
    predictor = apis.VISPredictor(config, checkpoint, args.device, args.precision, load_anyway=args.load_anyway,
                                  compiled=args.compile)
    if many:
        reports = run_sources(args, outputs, predictor, window, damaged, inputs)
        print(table(reports), flush=True)
    else:
        with Stop() as stop:
            run = run_pictures if apart else run_source
            reports = [run(args, source, outputs[0], predictor, window, stop)]
    if damaged:
        print(damaged, flush=True)
    faults = [report.fault for report in reports if report.fault]
    if many and faults and all(isinstance(fault, InputError) for fault in faults):
        raise InputError(f'{len(faults)} of {len(args.sources)} sources have failed.')
    if faults:
        raise next((fault for fault in faults if not isinstance(fault, InputError)), faults[0])


if __name__ == '__main__':
    run_tool(main)
