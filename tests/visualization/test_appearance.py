"""The overlays of a run and of its results file colour a track alike."""
import json

import numpy as np
from helpers.tiny_vis import make_tiny_dataset

from mmvis.annotations import load_annotations
from mmvis.structures import FrameInstances, encode_mask
from mmvis.visualization import draw_frame, track_color
from mmvis.visualization.appearance import AppearanceOrder
from mmvis.visualization.tracks import read_results

SIZE = (48, 80)


def test_a_run_and_its_results_file_have_the_same_numbers(tmp_path):
    """Tracks that come late, go and come back, without a pixel at first, and two entries of one track."""
    rng = np.random.default_rng(0)
    ann_file = make_tiny_dataset(tmp_path, 1, 6, size=SIZE, split='valid')
    masks = {}  # track -> frame -> RLE
    for track_id, frames in ((30, (2, 3, 5)), (7, (0, 1, 2)), (12, (0, 4)), (3, (2,)), (44, range(6))):
        masks[track_id] = {t: encode_mask(rng.random(SIZE) > 0.7) for t in frames}
    order, numbers = AppearanceOrder(), {}
    for t in range(6):
        ids = sorted(track_id for track_id in masks if t in masks[track_id] or (track_id == 3 and t == 1))
        frame = FrameInstances(t, np.array(ids), np.zeros(len(ids), int), np.ones(len(ids)), np.zeros((len(ids), 4)),
                               [masks[track_id].get(t) for track_id in ids])
        found = order.numbers(frame)
        assert all((number == 0) == (track_id == 3 and t == 1) for track_id, number in zip(ids, found))
        numbers.update(zip(ids, found))
    assert sorted(numbers.values()) == [1, 2, 3, 4, 5]
    scores = {30: 0.9, 7: 0.2, 12: 0.5, 3: 0.8, 44: 0.4}
    entries = [dict(video_id=10, category_id=category, score=scores[track_id] - 0.01 * category,
                    segmentations=[masks[track_id].get(t) for t in range(6)])
               for track_id in masks for category in ((3, 7) if track_id == 12 else (3,))]
    (tmp_path / 'r.json').write_text(json.dumps(entries))
    drawn = read_results(tmp_path / 'r.json', load_annotations(str(ann_file)), [10], 0.3).tracks[10]
    assert [track.track_id for track in drawn] == [numbers[30], numbers[3], numbers[12], numbers[12], numbers[44]]


def test_the_number_gives_the_colour():
    mask = np.zeros(SIZE, np.uint8)
    mask[10:30, 10:30] = 1
    frame = FrameInstances(0, np.array([5]), np.array([0]), np.ones(1), np.array([[10, 10, 30, 30.]]),
                           [encode_mask(mask)])
    plain = np.zeros((*SIZE, 3), np.uint8)
    for numbers, color in ((None, track_color(5)), ([2], track_color(2))):
        assert tuple(draw_frame(plain, frame, numbers=numbers, alpha=1.)[25, 20]) == color
