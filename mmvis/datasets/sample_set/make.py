"""Writes the sample set: frames as JPEG, annotations in the YouTube-VIS format with OVIS occlusion labels."""
import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

try:
    import fcntl
except ImportError:  # Windows: two processes that draw one set are not noticed there
    fcntl = None

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmvis.errors import InputError, InputFileError, of_user_path

from .draws import Draws
from .motion import HEIGHT, WIDTH, write_script
from .render import render, visible_masks
from .shapes import CATEGORIES

#: Changes whenever a pixel or a letter of the output changes.
VERSION = '1'

#: split -> (number of videos, fewest and most frames of a video)
SPLITS: Dict[str, Tuple[int, int, int]] = {'train': (160, 20, 40), 'valid': (16, 20, 40), 'long': (3, 200, 240)}
_MANIFEST = 'manifest.json'
_MOST_VIDEOS = 997


def _video_id(split: str, index: int) -> int:
    """Ids are neither in order nor without holes, and each split has its own."""
    return 1000 * (list(SPLITS).index(split) + 1) + (index * 617 + 89) % _MOST_VIDEOS


def _occlusion(visible: int, whole: int) -> str:
    """OVIS label: how much of what lies inside the frame is hidden by something in front."""
    share = visible / whole
    if share >= 0.95:
        return 'no_occlusion'
    return 'slight_occlusion' if share >= 0.5 else 'severe_occlusion'


def _annotate(track: Dict[str, Any], mask: Optional[np.ndarray], whole: int) -> None:
    """Append one frame to a track."""
    if mask is None:
        for key in ('segmentations', 'bboxes', 'areas', 'occlusion'):
            track[key].append(None)
        return
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    area = int(mask.sum())
    track['segmentations'].append({'size': [HEIGHT, WIDTH], 'counts': rle['counts'].decode('ascii')})
    track['bboxes'].append([int(value) for value in coco_mask.toBbox(rle)])
    track['areas'].append(area)
    track['occlusion'].append(_occlusion(area, whole))


def _make_video(folder: Path, split: str, index: int, seed: int) -> Tuple[Dict, List[Dict], str]:
    """Draw one video. Returns its entry, its annotations (without ids) and a checksum of its pixels."""
    draws = Draws(seed, list(SPLITS).index(split), index)
    script = write_script(draws, index, draws.integer(*SPLITS[split][1:]))
    video_id = _video_id(split, index)
    name = f'{split}_{video_id}'
    target = folder / split / 'JPEGImages' / name
    target.mkdir(parents=True)
    tracks = [dict(category_id=actor.category_id, segmentations=[], bboxes=[], areas=[], occlusion=[])
              for actor in script.actors]
    checksum = hashlib.sha256()
    for frame, (picture, owner, whole_areas) in enumerate(render(script, draws)):
        checksum.update(picture)
        path = target / f'{frame:05d}.jpg'
        if not cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise InputFileError(f'Cannot write {path}.')
        for track, mask, whole in zip(tracks, visible_masks(owner, len(tracks)), whole_areas):
            _annotate(track, mask, whole)
    length = len(script.times)
    video = dict(id=video_id, width=WIDTH, height=HEIGHT, length=length, license=0,
                 file_names=[f'{name}/{frame:05d}.jpg' for frame in range(length)])
    annotations = [dict(video_id=video_id, category_id=track.pop('category_id'), iscrowd=0, height=HEIGHT, width=WIDTH,
                        length=length, **track) for track in tracks if any(track['areas'])]
    return video, annotations, checksum.hexdigest()


def _annotation_file(split: str, seed: int, videos: Sequence[Tuple[Dict, List[Dict], str]]) -> str:
    first_id = 10001 + 10000 * list(SPLITS).index(split)
    annotations = [annotation for _, tracks, _ in videos for annotation in tracks]
    return json.dumps(dict(
        info=dict(description='mmvis sample set', version=VERSION, split=split, seed=seed),
        licenses=[dict(id=0, name='Apache-2.0', url='https://www.apache.org/licenses/LICENSE-2.0')],
        videos=[video for video, _, _ in videos],
        categories=[dict(id=i, name=name, supercategory='shape') for i, name in CATEGORIES.items()],
        annotations=[dict(id=first_id + 3 * i, **annotation) for i, annotation in enumerate(annotations)],
    ), separators=(',', ':'))


def _write(folder: Path, wanted: Dict[str, Any]) -> None:
    """Draw everything into an empty folder; the manifest comes last."""
    checksums = {}
    for split, count in wanted['num_videos'].items():
        videos = [_make_video(folder, split, index, wanted['seed']) for index in range(count)]
        text = _annotation_file(split, wanted['seed'], videos)
        (folder / f'{split}.json').write_text(text, encoding='ascii')
        pixels = ''.join(checksum for _, _, checksum in videos)
        checksums[split] = dict(annotations=hashlib.sha256(text.encode()).hexdigest(),
                                pixels=hashlib.sha256(pixels.encode()).hexdigest())
    (folder / _MANIFEST).write_text(json.dumps(dict(wanted, checksums=checksums), indent=1), encoding='ascii')


def _read_manifest(root: Path) -> Optional[Dict[str, Any]]:
    """None unless ``root`` is a sample set: a folder without this manifest is never touched."""
    try:
        manifest = json.loads((root / _MANIFEST).read_text(encoding='ascii'))
    except (OSError, ValueError):
        return None
    keys = {'version', 'seed', 'num_videos', 'checksums'}
    return manifest if isinstance(manifest, dict) and keys <= set(manifest) else None


def make_sample(root: Union[str, os.PathLike], seed: int = 0, splits: Sequence[str] = tuple(SPLITS),
                num_videos: Optional[Mapping[str, int]] = None) -> Dict[str, Any]:
    """Write the sample set to ``root``, unless it is there already.

    ``root`` then holds ``<split>.json`` and ``<split>/JPEGImages/<video>/00000.jpg ...``; frames are 160 x 288. Video
    number i of a split depends on the seed, the split and i alone, so a smaller set is the beginning of a larger one.
    The set is drawn into a temporary folder beside ``root`` and renamed at the end; what a killed run has left of that
    folder is removed. A second process waits for the first and takes its set.

    Args:
        seed: 0 is the set that all published numbers refer to.
        splits: any of ``train``, ``valid``, ``long`` (videos of 200 frames and more).
        num_videos: split -> number of videos, instead of 160, 16 and 3.

    Returns:
        The manifest: version, seed, number of videos, and the sha256 of annotations and pixels of each split.

    Raises:
        InputError: an unknown split, a count or seed out of range, ``root`` holds something that is no sample set or
            cannot be written.
    """
    root = Path(os.path.realpath(root))  # a link stays a link
    if seed < 0:
        raise InputError(f'seed is {seed}; it must be 0 or more.')
    for split in [*splits, *(num_videos or {})]:
        if split not in SPLITS:
            raise InputError(f'The sample set has no split {split!r}; it has {", ".join(SPLITS)}.')
    counts = {split: (num_videos or {}).get(split, SPLITS[split][0]) for split in SPLITS if split in splits}
    for split, count in counts.items():
        if not 1 <= count <= _MOST_VIDEOS:
            raise InputError(f'num_videos of split {split!r} is {count}; it must lie between 1 and {_MOST_VIDEOS}.')
    wanted = dict(version=VERSION, seed=seed, num_videos=counts)
    with of_user_path(root, 'cannot be written'):
        while not _is_there(root, wanted):
            _refuse_others_work(root)
            root.parent.mkdir(parents=True, exist_ok=True)
            fresh = root.with_name(f'{root.name}.tmp')
            with _alone(fresh) as is_ours:  # not ours: another process has drawn a set while we waited
                if is_ours:
                    _draw(fresh, root, wanted)
    return _read_manifest(root)


def _is_there(root: Path, wanted: Dict[str, Any]) -> bool:
    manifest = _read_manifest(root)
    return manifest is not None and all(manifest.get(key) == value for key, value in wanted.items())


def _refuse_others_work(root: Path) -> None:
    if root.exists() and _read_manifest(root) is None and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f'{root} exists and is not a sample set: name another folder, or remove it.')


@contextmanager
def _alone(fresh: Path) -> Iterator[bool]:
    """Make the temporary folder and wait until no other process draws into it; a killed one leaves no lock.

    What a killed run has left in it is removed. Yields whether the folder is ours: another process may have renamed it.
    """
    own = {_MANIFEST, *SPLITS, *(f'{split}.json' for split in SPLITS)}
    if fresh.is_symlink() or (fresh.is_dir() and {path.name for path in fresh.iterdir()} - own):
        raise InputError(f'{fresh} is in the way and was not left by make_sample: move it.')
    fresh.mkdir(exist_ok=True)
    descriptor = os.open(fresh, os.O_RDONLY)
    try:
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield fresh.exists() and os.path.samestat(os.fstat(descriptor), os.stat(fresh))
    finally:
        os.close(descriptor)


def _draw(fresh: Path, root: Path, wanted: Dict[str, Any]) -> None:
    """Draw into ``fresh`` and rename it to ``root``, in the place of another sample set."""
    try:
        for left in fresh.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        _write(fresh, wanted)
        if _read_manifest(root) is not None:
            shutil.rmtree(root)
        fresh.rename(root)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
