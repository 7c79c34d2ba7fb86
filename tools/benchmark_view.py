#!/usr/bin/env python3
"""How fast the page of `mmvis view` is in headless Chromium: a long list, and playing 720p with ten masks a frame.

    python tools/benchmark_view.py [list] [playing]

list: 300 videos with 3,000 annotated tracks and as many of a results file; seconds from the start of the command to the
list in the page, at the first start and at the next one. playing: 10 s at 25 frames a second; the page itself counts the
frames that were due, and those whose picture and ten masks it had drawn before the next one was due. Then every mask of
five stills is compared with pycocotools, pixel by pixel. Chromium and Playwright are needed, as for the tests.
"""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List

import cv2
import numpy as np
from playwright.sync_api import Page, sync_playwright
from pycocotools import mask as coco_mask

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]  # runs in a checkout, installed or not

from helpers.page import COVERED  # noqa: E402

from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.errors import InputError  # noqa: E402

HEIGHT, WIDTH, MASKS, FPS, SECONDS = 720, 1280, 10, 25, 10
CATEGORIES = [dict(id=1, name='blob'), dict(id=2, name='other blob')]


def blob(rng: np.random.Generator, height: int, width: int, t: int, start: np.ndarray, area: float) -> Dict[str, Any]:
    """A shape with a rough outline, as networks make them, that moves with ``t``."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.sqrt(area / np.pi) * (1 + 0.25 * np.sin(3 * angles + 0.1 * t) + rng.normal(0, 0.03, 48))
    center = start * (width, height) + 0.15 * min(height, width) * np.array([np.cos(0.05 * t), np.sin(0.07 * t)])
    points = center + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 1)
    rle = coco_mask.encode(np.asfortranarray(mask))
    return dict(size=[height, width], counts=rle['counts'].decode())


def write_set(folder: Path, videos: int, frames: int, height: int, width: int) -> List[str]:
    """Annotations, results and frames of blobs; the results are the annotations, noise on top. Returns the three paths."""
    rng = np.random.default_rng(0)
    truth = dict(info={}, categories=CATEGORIES, videos=[], annotations=[])
    results = []
    for v in range(videos):
        names = [f'{v:04d}/{t:05d}.jpg' for t in range(frames)]
        truth['videos'].append(dict(id=v + 1, width=width, height=height, length=frames, file_names=names))
        _write_frames(folder / 'frames', names, height, width, rng)
        for n in range(MASKS):
            start, area = rng.uniform(0.15, 0.85, 2), height * width / 30
            annotated, found = ([blob(rng, height, width, t, start, area) for t in range(frames)] for _ in range(2))
            truth['annotations'].append(dict(id=10 * v + n + 1, video_id=v + 1, category_id=1 + n % 2, iscrowd=0,
                                             segmentations=annotated))
            results.append(dict(video_id=v + 1, category_id=1 + n % 2, score=round(0.99 - 0.01 * n, 2), segmentations=found))
    for name, content in (('truth.json', truth), ('results.json', results)):
        (folder / name).write_text(json.dumps(content))
    return [str(folder / name) for name in ('results.json', 'truth.json', 'frames')]


def _write_frames(folder: Path, names: List[str], height: int, width: int, rng: np.random.Generator) -> None:
    """Frames with as much detail as those of a video; a few pictures in turn."""
    pictures = []
    for _ in range(min(len(names), 8)):
        small = rng.integers(0, 255, (height // 16, width // 16, 3), np.uint8)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        image = cv2.add(image, rng.integers(0, 12, image.shape, np.uint8))
        pictures.append(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    (folder / names[0]).parent.mkdir(parents=True)
    for t, name in enumerate(names):
        (folder / name).write_bytes(pictures[t % len(pictures)])


@contextmanager
def served(arguments: List[str], cache: Path) -> Iterator[str]:
    """The address that the command prints; it ends with the block."""
    command = [sys.executable, str(ROOT / 'tools' / 'view.py'), *arguments, '--no-browser']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ, XDG_CACHE_HOME=str(cache)))
    try:
        yield process.stdout.readline().split()[2]
    finally:
        process.kill()
        process.wait()


def wait_for_numbers(page: Page) -> None:
    page.get_by_text('Reading and computing').wait_for(state='hidden', timeout=600_000)


def benchmark_list(page: Page, folder: Path) -> None:
    arguments = write_set(folder, videos=300, frames=36, height=360, width=640)
    sizes = ' and '.join(f'{os.path.getsize(path) / 1e6:.0f} MB' for path in arguments[:2])
    print(f'list: 300 videos, 3,000 annotated tracks, 3,000 of results ({sizes})')
    for start in ('first', 'next'):
        begin = time.perf_counter()
        with served(arguments, folder / 'cache') as address:
            listens = time.perf_counter() - begin
            page.goto(address)
            page.locator('table.videos tbody tr').nth(299).wait_for()
            listed = time.perf_counter() - begin
            wait_for_numbers(page)
            complete = time.perf_counter() - begin
        print(f'  {start} start: server {listens:.2f} s, list in the page {listed:.2f} s, all numbers {complete:.1f} s')
        page.goto('about:blank')


def benchmark_playing(page: Page, folder: Path) -> None:
    arguments = write_set(folder, videos=1, frames=FPS * SECONDS, height=HEIGHT, width=WIDTH)
    with served(arguments, folder / 'cache') as address:
        page.goto(address)
        page.locator('table.videos tbody tr').wait_for()
        wait_for_numbers(page)
        page.goto(f'{address}#/video/1?thresh=0')
        page.locator('#main[data-frame="0"]').wait_for()
        page.get_by_label('ground truth', exact=True).uncheck()
        page.locator('#rate').fill(str(FPS))
        page.locator('h1').click()
        time.sleep(2)
        page.keyboard.press(' ')
        page.wait_for_timeout(1000 * SECONDS)
        page.keyboard.press(' ')
        said = page.locator('#status').inner_text()
        drawn, due, rate, masks = map(int, re.fullmatch(r'(\d+) of (\d+) .* at (\d+) .* with (\d+) masks', said).groups())
        print(f'playing: {due} frames of {WIDTH}x{HEIGHT} due at {rate} a second; {drawn} ({100 * drawn / due:.1f} %) had '
              f'their picture and their masks drawn in time, {masks / max(drawn, 1):.1f} masks a frame')
        check_stills(page, json.loads(Path(arguments[0]).read_text()))


def check_stills(page: Page, entries: List[Dict[str, Any]]) -> None:
    """Every mask of five frames, shown alone, against pycocotools."""
    wrong = compared = 0
    for frame in (0, 60, 121, 187, 249):
        page.locator('#frame').fill(str(frame))
        page.locator(f'#main[data-frame="{frame}"]').wait_for()
        for entry in entries:
            row = page.locator('details', has_text='tracks of').locator('.rowname', has_text=f'{entry["score"]:.2f}')
            row.click()
            bits = np.unpackbits(np.frombuffer(base64.b64decode(page.locator('canvas.masks').evaluate(COVERED)), np.uint8))
            rle = entry['segmentations'][frame]
            wrong += int((bits.reshape(HEIGHT, WIDTH) != coco_mask.decode(dict(rle, counts=rle['counts'].encode()))).sum())
            compared += 1
            row.click()
    print(f'stills: {compared} masks of 5 frames compared with pycocotools, {wrong} pixels differ')


def main() -> None:
    parser = ToolParser(description='How fast the page of mmvis view is in headless Chromium.')
    parser.add_argument('what', nargs='*', choices=('list', 'playing', []), help='default: both')
    args = parser.parse_args()
    chromium = shutil.which('chromium') or shutil.which('google-chrome')
    if chromium is None:
        raise InputError('no chromium is installed (apt-get install chromium).')
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        page = browser.new_page(viewport=dict(width=1400, height=1000))
        for name in args.what or ('list', 'playing'):
            {'list': benchmark_list, 'playing': benchmark_playing}[name](page, Path(folder, name))
        browser.close()


if __name__ == '__main__':
    run_tool(main)
