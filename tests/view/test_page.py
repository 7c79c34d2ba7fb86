"""The page in headless Chromium: list, player, comparison, hostile and damaged files."""
import base64
import json
import re
from pathlib import Path

import numpy as np
from helpers.page import COVERED
from helpers.tiny_vis import make_tiny_dataset
from pycocotools import mask as coco_mask

from mmvis.view import STATIC
from mmvis.view.session import Session


def covered(page, pane, height=48, width=80):
    """Pixels that the masks of a pane cover, bool [h, w]."""
    text = page.locator('canvas.masks').nth(pane).evaluate(COVERED)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    return bits[:height * width].reshape(height, width).astype(bool)


def open_video(page, site, video=10, frame=0, **query):
    settings = ''.join(f'&{name}={value}' for name, value in query.items())
    page.goto(f'{site}#/video/{video}?frame={frame}{settings}')
    wait_for_frame(page, frame)


def open_list(page, site):
    page.goto(site)
    page.locator('table.videos tbody tr').first.wait_for()


def wait_for_frame(page, frame):
    page.locator(f'#main[data-frame="{frame}"]').wait_for()


def names(page):
    return page.locator('table.videos tbody th').all_inner_texts()


# -- the list

def test_list_shows_the_numbers_of_the_evaluator(page, site, session):
    open_list(page, site)
    assert names(page) == ['video_0', 'video_1', 'video_2']
    overall = page.locator('table.overall tbody tr').nth(0).inner_text().split('\t')
    stats = session.results[0].overall
    assert overall[0] == 'results.json' and overall[1] == f'{stats["AP"]:.3f}' and overall[5] == f'{stats["HOTA"]:.3f}'
    row = page.locator('table.videos tbody tr').nth(0).inner_text().split()
    numbers = session.results[0].videos[10]
    assert row[:7] == ['video_0', '6', '3', '3', '0.900', f'{numbers["AP"]:.3f}', f'{numbers["HOTA"]:.3f}']
    assert row[7] == str(numbers['IDSW']) == '2'
    picture = page.locator('table.videos img').nth(2)
    picture.scroll_into_view_if_needed()
    page.wait_for_function('node => node.naturalWidth > 0', arg=picture.element_handle())


def test_list_is_sorted_and_filtered(page, site):
    open_list(page, site)
    page.get_by_role('button', name='switches').click()  # the most at the top
    assert names(page)[0] == 'video_0' and page.locator('th[aria-sort=descending]').count() == 1
    page.get_by_role('button', name='video', exact=True).click()
    page.get_by_role('button', name='video ▴').click()
    assert names(page) == ['video_2', 'video_1', 'video_0']
    page.get_by_label('error', exact=True).select_option('switched')
    assert names(page) == ['video_0'] and page.locator('#count').inner_text() == '1 of 3 videos'
    page.get_by_label('error', exact=True).select_option('background')
    assert names(page) == ['video_1']
    page.get_by_label('error', exact=True).select_option('')
    page.get_by_label('class', exact=True).select_option('bar')
    assert 0 < len(names(page)) < 3
    page.get_by_label('class', exact=True).select_option('')
    page.locator('#from').fill('7')
    assert names(page) == []
    page.locator('#from').fill('6')
    page.locator('#text').fill('VIDEO_1')
    assert names(page) == ['video_1']
    page.get_by_label('numbers of', exact=True).select_option('others.json')
    assert page.locator('table.videos tbody tr').inner_text().split()[3] == '4'


def test_a_damaged_results_file_is_a_sentence(page, site, data):
    page.goto(site)
    sentence = page.locator('.failure').first.inner_text()
    assert data.damaged in sentence and 'not valid JSON' in sentence and 'Traceback' not in sentence


def test_numbers_come_in_as_they_are_computed(page, serve, data):
    session = Session(data.annotations, [data.results], data.frames)  # nothing is read yet
    page.goto(serve(session))
    page.get_by_text('Reading and computing').wait_for()
    row = page.locator('table.videos tbody tr').first
    assert row.inner_text().split() == ['video_0', '6', '-', '-', '-', '-', '-', '-', '-']
    session._take('numbers', 0, dict(overall=dict(AP=0.25), videos=[[10, dict(AP=0.125)]]))
    page.locator('table.videos td', has_text='0.125').wait_for()
    assert page.locator('table.overall td').first.inner_text() == '0.250'
    session._take('failure', 0, 'This cannot be evaluated.')
    page.locator('.failure', has_text='This cannot be evaluated.').wait_for()


def test_names_are_text(page, site):
    open_list(page, site)
    assert page.get_by_label('class', exact=True).locator('option').all_inner_texts()[-1].startswith('<img src=x')
    open_video(page, site, 30)
    assert page.locator('.rowname', has_text='onerror').count() >= 2
    page.wait_for_timeout(100)
    assert page.evaluate('window.hacked') is None and page.locator('img[src=x]').count() == 0


# -- the player

def test_every_mask_has_its_pixels(page, site, session):
    open_video(page, site, thresh=0)
    tracks = session.sources(0).tracks[:2]
    for frame in range(1, 6):
        page.keyboard.press('ArrowRight')
        wait_for_frame(page, frame)
        for pane, (own, title) in enumerate(zip(tracks, ('ground truth as results', 'tracks of results'))):
            masks = [decoded(track, frame) for track in own]
            assert (covered(page, pane) == np.any(masks, 0)).all()
            rows = page.locator('details', has=page.locator('summary', has_text=title))
            for row, mask in zip(in_order(rows, own), masks):
                row.click()
                assert (covered(page, pane) == mask).all() and not covered(page, 1 - pane).any()
                row.click()


def in_order(rows, tracks):
    """The buttons of tracks; an object's begins with its number."""
    return [rows.locator('.rowname', has_text=re.compile(rf'^{track.track_id} ')) for track in tracks]


def decoded(track, frame):
    if frame not in track.masks:
        return np.zeros((48, 80), bool)
    rle = track.masks[frame]
    return coco_mask.decode({'size': rle['size'], 'counts': rle['counts'].encode()}).astype(bool)


def test_keys(page, site):
    open_video(page, site)
    page.get_by_label('others.json').uncheck()
    for key, frame in (('ArrowRight', 1), ('ArrowRight', 2), ('ArrowLeft', 1), ('End', 5), ('ArrowRight', 5),
                       ('Home', 0), ('n', 1), ('n', 3), ('p', 1)):
        page.keyboard.press(key)
        wait_for_frame(page, frame)
    assert 'missed' in page.locator('#error').inner_text()
    page.keyboard.press('n')
    assert page.locator('#error').inner_text().count('identity switched') == 2
    assert 'video/10?frame=3' in page.url
    page.keyboard.press('n')  # no more in this video: the next one with errors
    page.wait_for_url('**/video/20?frame=**')
    page.locator('#main:not([data-frame=""])').wait_for()
    page.keyboard.press('[')
    page.wait_for_url('**/video/10?frame=**')
    page.locator('#main:not([data-frame=""])').wait_for()
    page.keyboard.press('p')
    assert 'no further error' in page.locator('#status').inner_text()


def test_playing(page, site):
    open_video(page, site, frame=2)
    page.locator('#rate').fill('20')
    page.get_by_label('loop').uncheck()
    page.locator('h1').click()
    page.keyboard.press(' ')
    page.locator('#status', has_text='frames in time at 20 frames a second').wait_for()
    assert page.locator('#position').inner_text() == '5 / 5'
    page.get_by_label('loop').check()
    page.locator('#play').click()
    page.wait_for_function("() => document.querySelector('#play').textContent.includes('Pause')")
    page.wait_for_timeout(700)
    page.locator('#play').click()
    drawn, due = map(int, re.match(r'(\d+) of (\d+)', page.locator('#status').inner_text()).groups())
    assert 0 < drawn <= due and due > 6


def test_threshold_opacity_and_layout(page, site, session):
    open_video(page, site, video=20)
    assert page.locator('canvas.masks').count() == 3
    tracks = session.sources(1).tracks[1]
    union = {thresh: np.any([decoded(track, 0) for track in tracks if track.score >= thresh], 0) for thresh in (0.2, 0.3)}
    assert (covered(page, 1) == union[0.3]).all()
    page.locator('#thresh').fill('0.2')
    assert (covered(page, 1) == union[0.2]).all() and (union[0.2] != union[0.3]).any() and 'thresh=0.2' in page.url
    page.locator('#opacity').fill('0.8')
    alphas = page.locator('canvas.masks').nth(1).evaluate(
        "canvas => [...new Set(canvas.getContext('2d').getImageData(0, 0, 80, 48).data.filter((_, i) => i % 4 == 3))]")
    assert set(alphas) == {0, 204, 255}  # nothing, masks, their outlines
    written = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(value => value)"
    labels = page.locator('canvas.labels').nth(1)
    assert labels.evaluate(written)
    page.get_by_label('labels').uncheck()
    assert not labels.evaluate(written)
    page.get_by_label('others.json').uncheck()
    assert page.locator('canvas.masks').count() == 2
    page.get_by_label('others.json').check()
    page.get_by_label('layout', exact=True).select_option('over')
    assert page.locator('canvas.masks').count() == 1 and 'layout=over' in page.url
    assert page.locator('figcaption').inner_text() == 'ground truth + results.json + others.json'
    page.get_by_label('layout', exact=True).select_option('side')


def test_a_click_into_picture_and_time_line(page, site, session):
    open_video(page, site, frame=2)
    track = session.results[0].drawing.tracks[10][0]
    y, x = np.argwhere(decoded(track, 2)).mean(0)
    screen = page.locator('.screen').nth(1)
    box = screen.bounding_box()
    screen.click(position={'x': (x + 0.5) * box['width'] / 80, 'y': (y + 0.5) * box['height'] / 48})
    assert page.locator('.rowname[aria-pressed=true]').count() == 1
    page.get_by_role('button', name='Show all tracks').click()
    assert page.locator('.rowname[aria-pressed=true]').count() == 0
    lane = page.locator('.lane').first
    lane.click(position={'x': lane.bounding_box()['width'] * 4.5 / 6, 'y': 8})
    wait_for_frame(page, 4)


def test_time_line_is_that_of_the_evaluator(page, site):
    open_video(page, site)
    group = page.locator('details', has=page.locator('summary', has_text='ground truth as results.json'))
    rows = [[(bar.get_attribute('class').split()[1], bar.get_attribute('title')) for bar in row.locator('.bar').all()]
            for row in group.locator('.row').all()]
    first = next(row for row in rows if ('missed', 'frame 1: missed') in row)
    assert [kind for kind, _ in first] == ['there', 'missed', 'there', 'there', 'switch']
    assert first[2][1].startswith('frame 2: matched by') and first[4][1] == 'frame 3: identity switched'


def test_a_link_leads_to_the_frame(page, site, browser):
    open_video(page, site, frame=4, thresh=0.5)
    link = page.url
    other = browser.new_page()
    other.goto(link)
    other.locator('#main[data-frame="4"]').wait_for()
    assert other.locator('#thresh').input_value() == '0.5' and other.url == link
    other.close()


# -- two files, no results, what is missing

def test_comparison(page, site):
    page.goto(f'{site}#/compare?first=0&second=1')
    page.locator('#count', has_text='3 videos compared.').wait_for(timeout=60_000)
    rows = [row.inner_text().split('\t') for row in page.locator('table.videos tbody tr').all()]
    assert [row[1] for row in rows] == ['video_0', 'video_1', 'video_2'] and rows[0][2:4] == ['1.000', '0']
    assert [row[2] for row in rows[1:]] == ['0.000', '0.000']
    page.locator('td.frames a').first.click()
    page.wait_for_url('**/video/10?frame=**')
    assert page.locator('figcaption').all_inner_texts() == ['ground truth', 'results.json', 'others.json']


def test_a_data_set_without_results(page, serve, tmp_path):
    ann_file = make_tiny_dataset(tmp_path, num_videos=2, size=(48, 80), split='train')
    (tmp_path / 'train/JPEGImages/video_1/00005.jpg').unlink()
    session = Session(str(ann_file), [], str(tmp_path / 'train'))
    session.start()
    session.wait()
    site = serve(session)
    page.goto(site)
    assert page.locator('table.videos tbody tr').nth(0).inner_text().split() == ['video_0', '6', '2']
    page.get_by_role('link', name='video_1').click()
    wait_for_frame(page, 0)
    assert page.locator('figcaption').all_inner_texts() == ['ground truth'] and page.locator('.row').count() == 2
    page.keyboard.press('End')
    wait_for_frame(page, 5)
    assert page.locator('.note').inner_text() == 'frame video_1/00005.jpg is missing.'


def test_results_without_ground_truth(page, serve, data, tmp_path):
    content = json.loads(Path(data.annotations).read_text())
    del content['annotations']
    (tmp_path / 'valid.json').write_text(json.dumps(content))
    session = Session(str(tmp_path / 'valid.json'), [data.results], data.frames)
    session.start()
    session.wait()
    site = serve(session)
    open_list(page, site)
    assert page.locator('table.videos thead').inner_text().strip().split('\t')[1:] == ['video', 'frames', 'tracks', 'best score']
    assert page.locator('table.videos tbody tr').nth(0).inner_text().split() == ['video_0', '6', '3', '0.900']
    open_video(page, site, video=20, thresh=0.3)
    assert page.locator('figcaption').all_inner_texts() == ['results.json'] and page.locator('.row').count() == 3
    assert covered(page, 0).any()


def test_narrow_dark_and_by_keyboard_alone(browser, site):
    page = browser.new_page(viewport={'width': 360, 'height': 700}, color_scheme='dark')
    page.goto(site)
    for _ in range(40):
        page.keyboard.press('Tab')
        if page.evaluate("document.activeElement.matches('th a')"):
            break
    page.keyboard.press('Enter')
    wait_for_frame(page, 0)
    page.keyboard.press('ArrowRight')
    wait_for_frame(page, 1)
    wide = page.evaluate('document.documentElement.scrollWidth')
    back, ink = (page.evaluate(f'getComputedStyle(document.body).{name}') for name in ('backgroundColor', 'color'))
    page.close()
    assert wide <= 360
    assert contrast(back, ink) > 7


def contrast(*colors):
    """Ratio of WCAG between two colours as a browser writes them."""
    def luminance(color):
        values = np.array(re.findall(r'\d+', color)[:3], float) / 255
        return np.where(values <= 0.03928, values / 12.92, ((values + 0.055) / 1.055)**2.4) @ [0.2126, 0.7152, 0.0722]
    low, high = sorted(map(luminance, colors))
    return (high + 0.05) / (low + 0.05)


def test_another_machine_comes_with_the_token(browser, session, serve):
    site = serve(session, host='0.0.0.0', token='a-token')
    page = browser.new_page()
    assert page.goto(site).status == 401
    page.goto(f'{site}?token=a-token')
    page.get_by_role('link', name='video_0').click()
    wait_for_frame(page, 0)
    assert page.url.startswith(f'{site}?token=a-token#/video/10')  # a link of this frame can be passed on
    page.close()


def test_nothing_comes_from_elsewhere(page, site):
    asked = []
    page.on('request', lambda request: asked.append(request.url))
    open_video(page, site)
    assert asked and all(url.startswith((site, 'blob:', 'about:')) for url in asked)
    answer = page.request.get(site)
    assert "default-src 'none'" in answer.headers['content-security-policy']
    assert json.loads(page.request.get(f'{site}api/frame/0/99').text())['error'] == 'There is nothing at this address.'


def test_a_frame_that_is_due_is_not_let_go(page, site):
    """A video of which memory holds eight frames, played to its end and round again."""
    page.goto(site)
    kept = page.evaluate('''async () => {
        const {FrameStore} = await import('/static/frames.js');
        const video = {frames: 40, width: 8000, height: 4000, sources: []};
        const store = new FrameStore(0, video, 64, () => {});
        const kept = [];
        for (let i = 0; i < 60; i++) {
            store.pictures.set(i % 40, {close() {}});
            store.want(i % 40);
            kept.push(store.pictures.has(i % 40) && store.pictures.size <= store.room + 6);
        }
        store.close();
        return kept;
    }''')
    assert len(kept) == 60 and all(kept)


def test_the_front_end_stays_small():
    files = sorted(path for path in STATIC.iterdir() if path.suffix in ('.js', '.css', '.html'))
    lines = {path.name: len(path.read_text(encoding='utf-8').splitlines()) for path in files}
    assert sum(lines.values()) < 2000 and max(lines.values()) <= 300
    for path in files:
        text = path.read_text(encoding='utf-8')
        assert 'innerHTML' not in text and 'insertAdjacentHTML' not in text and 'eval(' not in text
        assert max(map(len, text.splitlines())) <= 140, path.name
        assert path.suffix != '.js' or text.startswith('// '), f'{path.name} says what its concern is'
