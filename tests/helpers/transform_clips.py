"""Small clips for the tests of transforms."""
import numpy as np

from mmvis.datasets.clip import Clip, ClipFrame


def make_clip(num_frames=3, height=48, width=80, num_objects=4, inclusive=False, seed=0):
    """Noise frames with rectangles as objects, so that the box of a mask is known; ids 10, 11, ..."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(num_frames):
        x1, y1 = rng.integers(0, width - 13, num_objects), rng.integers(0, height - 13, num_objects)
        x2, y2 = x1 + rng.integers(6, 13, num_objects), y1 + rng.integers(6, 13, num_objects)
        masks = np.zeros((num_objects, height, width), np.uint8)
        for mask, left, top, right, bottom in zip(masks, x1, y1, x2, y2):
            mask[top:bottom, left:right] = 1
        boxes = np.stack([x1, y1, x2 - inclusive, y2 - inclusive], 1).astype(np.float32).reshape(-1, 4)
        frames.append(ClipFrame(index, rng.integers(0, 256, (height, width, 3), dtype=np.uint8), boxes,
                                np.arange(num_objects) % 3, 10 + np.arange(num_objects), masks,
                                np.zeros(num_objects, bool)))
    return Clip(5, num_frames, (height, width), frames, inclusive)


def same_frames(num_frames=3, **kwargs):
    """A clip whose frames are equal: every transform that is clip-consistent keeps them equal."""
    clip = make_clip(1, **kwargs)
    clip.frames = clip.frames * num_frames
    return clip


def assert_frames_equal(first, second):
    for name in ('image', 'boxes', 'labels', 'instance_ids', 'masks', 'crowd'):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def assert_valid(clip):
    """Shapes and types that every transform keeps."""
    for frame in clip.frames:
        num = len(frame.boxes)
        assert frame.image.dtype == np.uint8 and frame.image.ndim == 3
        assert frame.boxes.dtype == np.float32 and frame.boxes.shape == (num, 4)
        assert frame.labels.dtype == np.int64 and frame.instance_ids.dtype == np.int64 and frame.crowd.dtype == bool
        assert len(frame.labels) == len(frame.instance_ids) == len(frame.crowd) == num
        assert frame.masks.dtype == np.uint8 and frame.masks.shape == (num, *frame.image.shape[:2])
        assert not num or frame.masks.max() <= 1
