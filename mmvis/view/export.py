"""The page as a folder of files, which works from a file server or by opening its index.html.

A page that is opened as a file may load neither modules nor data by fetch, but it may load scripts: its modules are joined
into one script, and every answer of the server becomes a script that hands it over.
"""
import json
import os
import re
from pathlib import Path
from typing import Any, Iterator, List

from mmvis.errors import InputError
from mmvis.structures.output_file import check_output_folder, write_output
from mmvis.visualization.names import check_apart

from . import STATIC, answers
from .pictures import as_jpeg
from .session import Session

#: Comparisons in an exported folder are of tracks that score at least as much.
THRESH = 0.3
_IMPORT = re.compile(r"^import (?:\{[^}]*\} from )?'\./([\w.]+)';\n", re.MULTILINE)


def export(session: Session, folder: str) -> None:
    """Write the page, its data and its pictures; waits until all numbers are computed.

    Raises:
        InputError: the folder holds something else, or frames; it cannot be written; a frame is missing or damaged.
    """
    target = Path(folder)
    check_output_folder(target)
    if any(target.iterdir()) and not (target / 'data' / 'list.js').is_file():
        raise InputError(f'{folder} is not empty, and no page that was exported before: choose another folder.')
    frames = [session.pictures.path(name) for video in session.videos for name in video.file_names]
    parts = [target, *(target / name / str(number) for name in ('frames', 'thumbs') for number in range(len(session.videos)))]
    check_apart(parts, frames)
    session.start()
    session.wait()
    if session.failure:
        raise InputError(session.failure)
    for one in session.results:
        if one.state == 'damaged':
            raise InputError(one.sentence)
    _write_data(session, target / 'data')
    for number, video in enumerate(session.videos):
        for frame in range(video.num_frames):
            picture = as_jpeg(*session.pictures.frame(video, frame))
            write_output(target / 'frames' / str(number) / f'{frame}.jpg', picture)
        write_output(target / 'thumbs' / f'{number}.jpg', session.pictures.thumbnail_of(video))
    _write_page(target)  # last: what was stopped has no page
    size = sum(os.path.getsize(path) for path in target.rglob('*') if path.is_file())
    print(f'{target / "index.html"}: {len(session.videos)} videos, {size / 1e6:.1f} MB')


def _write_page(target: Path) -> None:
    page = (STATIC / 'index.html').read_text(encoding='utf-8')
    module = '<script type="module" src="static/app.js"></script>'
    assert module in page
    page = page.replace('<html ', '<html data-export ').replace(module, '<script defer src="static/page.js"></script>')
    for name in ('style.css', 'icon.svg'):
        write_output(target / 'static' / name, (STATIC / name).read_bytes())
    write_output(target / 'static' / 'page.js', joined_modules())
    write_output(target / 'index.html', page)


def joined_modules(first: str = 'app.js') -> str:
    """The modules as one script: each behind those that it imports, without the words that only modules may have."""
    done: List[str] = []

    def visit(name: str) -> Iterator[str]:
        if name in done:
            return
        done.append(name)
        text = (STATIC / name).read_text(encoding='utf-8')
        for other in _IMPORT.findall(text):
            yield from visit(other)
        yield re.sub(r'^export ', '', _IMPORT.sub('', text), flags=re.MULTILINE)

    return "'use strict';\n(() => {\n" + '\n'.join(visit(first)) + '})();\n'


def _write_data(session: Session, folder: Path) -> None:
    def write(name: str, value: Any) -> None:
        write_output(folder / f'{name}.js', f'mmvisData({json.dumps(name)}, {json.dumps(value)});\n')

    write('list', answers.of_list(session))
    for number, video in enumerate(session.videos):
        write(f'video-{number}', answers.of_video(session, number))
        for block in range(-(-video.num_frames // answers.BLOCK)):
            write(f'masks-{number}-{block}', answers.of_masks(session, number, block))
    for first in range(len(session.results)):
        for second in range(first + 1, len(session.results)):
            write(f'compare-{first}-{second}', answers.of_comparison(session, first, second, THRESH, wait=True))
