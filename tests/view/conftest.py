"""One small set with results, one server and one browser for all tests of the page."""
import copy
import json
import shutil
import socket
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.page import HOSTILE
from helpers.tiny_vis import edit_json, make_tiny_dataset

from mmvis.structures import encode_mask

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')


def results_of(content):
    """Results made of the annotations, with an error of every kind that the tests look for: in the first video one track
    is lost for a frame, the first two swap their masks in frame 3; in the second there is a track on nothing."""
    entries = []
    for annotation in content['annotations']:
        entries.append(dict(video_id=annotation['video_id'], category_id=annotation['category_id'],
                            score=0.9 - 0.01 * len(entries), segmentations=copy.deepcopy(annotation['segmentations'])))
    first, second = entries[0]['segmentations'], entries[1]['segmentations']
    first[1] = None
    first[3:], second[3:] = second[3:], first[3:]
    entries[1]['category_id'] = entries[0]['category_id']
    corner = np.zeros((48, 80), np.uint8)
    corner[40:, 70:] = 1
    entries.append(dict(video_id=20, category_id=3, score=0.25, segmentations=[encode_mask(corner)] * 6))
    return entries


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    """``annotations``, ``frames``, ``results``, ``others`` (three tracks less) and ``damaged``, cut short."""
    folder = tmp_path_factory.mktemp('view')
    ann_file = make_tiny_dataset(folder, num_videos=3, num_frames=6, size=(48, 80), num_objects=3, split='valid')

    def change(content):
        content['annotations'][1]['category_id'] = content['annotations'][0]['category_id']
        content['categories'].append({'id': 99, 'name': HOSTILE})
        content['annotations'][-1]['category_id'] = 99

    edit_json(ann_file, change)
    entries = results_of(json.loads(ann_file.read_text()))
    files = {'results.json': json.dumps(entries), 'others.json': json.dumps(entries[3:]),
             'damaged.json': json.dumps(entries)[:-40]}
    for name, text in files.items():
        (folder / name).write_text(text)
    return SimpleNamespace(annotations=str(ann_file), frames=str(folder / 'valid'), folder=folder,
                           **{name.split('.')[0]: str(folder / name) for name in files})


@pytest.fixture(scope='session')
def serve():
    """serve(session, host, token) -> address; the servers end with the tests."""
    uvicorn = pytest.importorskip('uvicorn')
    from mmvis.view.server import Guard, make_app
    servers = []

    def start(session, host='127.0.0.1', token=None):
        listener = socket.socket()
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        config = uvicorn.Config(Guard(make_app(session), host, token), log_level='error', lifespan='off')
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return f'http://127.0.0.1:{listener.getsockname()[1]}/'

    yield start
    for server, thread in servers:
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture(scope='session')
def session(data):
    """The set with three results files, one of them damaged, read and evaluated."""
    from mmvis.view.session import Session
    made = Session(data.annotations, [data.results, data.others, data.damaged], data.frames)
    made.start()
    made.wait()
    return made


@pytest.fixture(scope='session')
def site(session, serve):
    """Address of the page of ``session``."""
    return serve(session)


@pytest.fixture(scope='session')
def browser():
    """Chromium without a window."""
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    if CHROMIUM is None:
        pytest.skip('no chromium is installed, so the page cannot be tried (apt-get install chromium)')
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture(scope='session')
def window(browser):
    """Where pages are opened; what one has fetched the others find in their cache."""
    return browser.new_context(viewport={'width': 1000, 'height': 800})


@pytest.fixture
def page(window):
    """A page of 1,000 by 800 pixels on which no script fails."""
    page = window.new_page()
    failures = []
    page.on('pageerror', lambda error: failures.append(str(error)))
    page.set_default_timeout(30_000)
    yield page
    page.close()
    assert not failures
