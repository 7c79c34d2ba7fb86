"""Every format: what its own tool writes is read pixel for pixel, and what we write is read again."""
import sys
from pathlib import Path

import numpy as np
import pytest

from mmvis.formats import FORMATS
from mmvis.formats.tracks import mask_area
from mmvis.structures import decode_rle, encode_mask

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'helpers'))
from foreign_sets import BOXES, CLASS_IDS, NUM_FRAMES, VIDEOS, WRITERS, mask_of  # noqa: E402


def check(videos) -> None:
    """The masks, frames and classes of the two videos."""
    assert [video.name.rsplit('/', 1)[-1] for video in videos.videos] == list(VIDEOS)
    assert list(videos.categories) == ['car', 'person'] and list(videos.categories.values()) == [1, 2]
    for video, name in zip(videos.videos, VIDEOS):
        assert len(video.file_names) == NUM_FRAMES and (video.height, video.width) == (48, 80)
        assert video.file_names == sorted(video.file_names)
        assert all((videos.root / file).is_file() for file in video.file_names)
        wanted = {category: boxes for (own, category), boxes in BOXES.items() if own == name}
        assert sorted(track.category for track in video.tracks) == sorted(wanted)
        for track in video.tracks:
            assert set(track.masks) == set(wanted[track.category])
            for frame, rle in track.masks.items():
                np.testing.assert_array_equal(decode_rle(rle), mask_of(wanted[track.category][frame]))


@pytest.mark.parametrize('name', WRITERS)
def test_what_other_tools_write(name, tmp_path):
    check(FORMATS[name].read(WRITERS[name](tmp_path / 'set'), None))


@pytest.mark.parametrize('name', FORMATS)
def test_round_trip(name, tmp_path):
    videos = FORMATS['coco'].read(WRITERS['coco'](tmp_path / 'set'), None)
    out = tmp_path / ('out.json' if name in ('coco', 'ytvis') else 'out')
    assert FORMATS[name].write(videos, out) == []
    check(FORMATS[name].read(out, videos.root))


@pytest.mark.parametrize('name', ['labelme', 'cvat'])
def test_parts_and_holes_go_through_polygons(name, tmp_path):
    """Random blobs: several parts, holes and pixels that touch over corners; the outlines lose next to nothing."""
    videos = FORMATS['coco'].read(WRITERS['coco'](tmp_path / 'set'), None)
    rng, track = np.random.default_rng(0), videos.videos[0].tracks[0]
    for frame in range(NUM_FRAMES):
        blob = np.zeros((48, 80), np.uint8)
        blob[4:16, 6:24] = rng.random((12, 18)) > (0.9, 0.5, 0.3, 0.1, 0.6)[frame]
        track.masks[frame] = encode_mask(blob)
    FORMATS[name].write(videos, tmp_path / 'out')
    found = next(track for track in FORMATS[name].read(tmp_path / 'out', videos.root).videos[0].tracks
                 if track.category == videos.videos[0].tracks[0].category)
    for frame in range(NUM_FRAMES):
        both = decode_rle(found.masks[frame]) & decode_rle(track.masks[frame])
        assert both.sum() / (mask_area(found.masks[frame]) + mask_area(track.masks[frame]) - both.sum()) > 0.98


def test_class_ids_are_those_of_the_source(tmp_path):
    assert FORMATS['mots'].read(WRITERS['mots'](tmp_path / 'set'), None).categories == CLASS_IDS
