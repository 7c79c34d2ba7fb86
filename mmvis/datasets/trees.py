"""Where a set lies on disk: every tree that the official downloads and the published code bases have."""
import json
import os
import re
from typing import Iterator, List, NamedTuple, Optional, Tuple

from mmvis.errors import InputError, InputMissingError, of_user_path, shown


class Tree(NamedTuple):
    """Annotation file and image folder of one split; ``description`` is a sentence that says what was found."""
    ann_file: str
    img_prefix: str
    description: str


class _Layout(NamedTuple):
    """``folders`` below a root ('' is the root itself), most particular first; ``hint`` for when none is there."""
    folders: Tuple[str, ...]
    hint: str = 'data/README.md shows the trees'


_YTVIS = ('YVIS', 'YouTubeVIS', 'ytvis', 'youtube_vis', '')
_LAYOUTS = {
    'ytvis2019': _Layout(('ytvis2019', 'ytvis_2019', 'YTVIS2019', 'youtube_vis_2019') + _YTVIS),
    'ytvis2021': _Layout(('ytvis2021', 'ytvis_2021', 'YTVIS2021', 'youtube_vis_2021') + _YTVIS),
    # The training set of 2022 is that of 2021.
    'ytvis2022': _Layout(('ytvis2022', 'ytvis_2022', 'YTVIS2022', 'youtube_vis_2022',
                          'ytvis2021', 'ytvis_2021', 'YTVIS2021', 'youtube_vis_2021') + _YTVIS),
    'ovis': _Layout(('ovis', 'OVIS', '')),
    'coco': _Layout(('coco', 'coco2017', '')),
    'sample': _Layout(('sample', ''), 'python tools/make_sample.py makes it'),
    'own': _Layout(('',)),
}

_ANNOTATIONS = {
    'train': ('annotations/instances_train_sub.json', 'annotations/instances_train.json',
              'annotations/annotations_train.json', 'annotations/instances_train2017.json', 'annotations_train.json',
              'instances_train_sub.json', 'instances_train.json', 'train.json', 'train/instances.json',
              'train/train.json', 'annotations/train.json'),
    'valid': ('annotations/instances_val_sub.json', 'annotations/instances_valid.json',
              'annotations/instances_val.json', 'annotations/annotations_valid.json',
              'annotations/instances_val2017.json', 'annotations_valid.json', 'instances_val_sub.json',
              'instances_valid.json', 'instances_val.json', 'valid.json', 'val.json', 'valid/instances.json',
              'val/instances.json', 'valid/valid.json', 'annotations/valid.json'),
    'test': ('annotations/instances_test.json', 'annotations/annotations_test.json', 'annotations_test.json',
             'instances_test.json', 'test.json', 'test/instances.json', 'test/test.json', 'annotations/test.json'),
}
# A validation file cut from the training set has its frames in the training folder.
_IMAGES = {
    'train': ('train', 'train_images', 'train2017'),
    'valid': ('valid', 'val', 'valid_images', 'val2017', 'train', 'train_images'),
    'test': ('test', 'test_images'),
}


def find_tree(name: str, split: str, data_root: str = 'data') -> Tree:
    """Find annotation file and frames of a split.

    Args:
        name: 'ytvis2019', 'ytvis2021', 'ytvis2022', 'ovis', 'coco', 'sample' or 'own' (a set of one's own).
        split: 'train', 'valid' ('val' is the same) or 'test'; other names for a set that has them ('long').
        data_root: the folder to look in. With the default, ``datasets`` and the working folder are looked through too.

    Raises:
        FileNotFoundError: it is not there; the sentence lists what was looked for.
    """
    if name not in _LAYOUTS:
        raise InputError(f"there is no tree named {name!r}; known are {', '.join(_LAYOUTS)}.")
    split = 'valid' if split == 'val' else split
    layout = _LAYOUTS[name]
    annotations = _ANNOTATIONS.get(split, (f'{split}.json', f'annotations/instances_{split}.json'))
    if name == 'coco':      # in a folder that holds other sets too, theirs are not COCO's
        annotations = tuple(ann_name for ann_name in annotations if '2017' in ann_name)
    bases = list(_bases(layout, data_root))
    without_frames = []
    for base in bases:
        for ann_name in annotations:
            ann_file = os.path.join(base, ann_name)
            if os.path.isfile(ann_file):
                folder = find_frames(base, split, ann_file)
                if folder is not None:
                    return Tree(ann_file, folder, f'{name} {split}: annotations {ann_file}, frames {folder}')
                without_frames.append(ann_file)
    raise InputMissingError(_not_found(name, split, layout, bases, annotations, without_frames))


def find_frames(base: str, split: str, ann_file: str) -> Optional[str]:
    """The image folder below ``base`` that holds the first frame named in ``ann_file``; ``None`` if there is none."""
    first = _first_frame(ann_file)
    for folder in _image_folders(base, split) if first else ():
        if frame_below(folder, first) is not None and os.path.isfile(os.path.join(folder, first)):
            return folder
    return None


def frame_below(folder: str, name: str) -> Optional[str]:
    """The path from ``folder`` to a frame that an annotation file names from there (also as ``./a.jpg`` or by way of
    ``..``) or by its absolute path; ``None`` if that lies elsewhere.
    """
    path = os.path.join(folder, name)
    for resolve in (os.path.abspath, os.path.realpath):    # a folder may be a link, and a video in it as well
        relative = os.path.relpath(resolve(path), resolve(folder))
        if relative.split(os.sep)[0] not in (os.curdir, os.pardir):
            return relative
    return None


def _bases(layout: _Layout, data_root: str) -> Iterator[str]:
    for folder in layout.folders:
        yield os.path.join(data_root, folder) if folder else data_root
    if os.path.normpath(data_root) == 'data':
        for root in ('datasets', ''):
            for folder in layout.folders:
                if folder:
                    yield os.path.join(root, folder)


def _image_folders(base: str, split: str) -> List[str]:
    names = _IMAGES.get(split, (split,))
    folders = [os.path.join(base, name, inner) for name in names for inner in ('JPEGImages', '')]
    return [folder.rstrip(os.sep) for folder in folders] + [os.path.join(base, 'JPEGImages'), base]


def _first_frame(ann_file: str) -> Optional[str]:
    """The first file name in an annotation file, without parsing the whole of it."""
    pattern = re.compile(r'"file_names?"\s*:\s*\[?\s*("(?:[^"\\]|\\.)*")')
    text = ''
    with of_user_path(ann_file), open(ann_file, encoding='utf-8', errors='replace') as file:
        while True:
            piece = file.read(1 << 20)
            text = text[-4096:] + piece
            match = pattern.search(text)
            if match:
                return _as_text(match.group(1))
            if not piece:
                return None


def _as_text(literal: str) -> Optional[str]:
    """The text that a literal of JSON stands for; ``None`` if no file can have such a name."""
    try:
        name = json.loads(literal, strict=False)
        os.fsencode(name)
    except ValueError:
        return None
    return None if '\0' in name else name


def _not_found(name: str, split: str, layout: _Layout, bases: List[str], annotations: Tuple[str, ...],
               without_frames: List[str]) -> str:
    lines = [f'{name} {split} is not there ({layout.hint}).']
    for ann_file in without_frames:
        lines.append(f'Found {ann_file}, but its first frame ({shown(_first_frame(ann_file))}) is in none of the image '
                     'folders beside it.')
    lines.append('Looked in ' + ', '.join(base or '.' for base in bases))
    lines.append('for one of ' + ', '.join(annotations))
    lines.append('with frames in one of ' + ', '.join(
        os.path.join(image, inner) if inner else image
        for image in _IMAGES.get(split, (split,)) for inner in ('JPEGImages', '')) + ', JPEGImages.')
    return '\n'.join(lines)
