"""Recognises annotations of other tools and formats, so that a sentence can name the format and the command that
converts them."""
import os
from pathlib import Path
from typing import Any, Optional, Union

from mmvis.errors import InputError

from .fields import as_id

_COMMAND = 'python tools/convert_annotations.py'
_TRACK_FIELDS = ('track_id', 'instance_id')


def track_id_of(record: Any) -> Union[int, str, None]:
    """The track that an annotation of COCO names: ``track_id``, ``instance_id``, or ``attributes.track_id`` of CVAT."""
    attributes = record.get('attributes')
    for owner in (record, attributes if isinstance(attributes, dict) else {}):
        for field in _TRACK_FIELDS:
            if as_id(owner.get(field)) is not None:
                return as_id(owner[field])
    return None


def refuse_foreign(data: Any, path: str) -> None:
    """Refuse the contents of a JSON file that is known to be of another format.

    Raises:
        InputError: the sentence names the format and, where there is one, the command.
    """
    if isinstance(data, dict):
        _refuse_object(data, path)
    elif isinstance(data, list) and data and isinstance(data[0], dict):
        _refuse_list(data[0], path)


def _refuse_object(data: dict, path: str) -> None:
    if 'shapes' in data and ('imagePath' in data or 'imageData' in data):
        raise InputError(_sentence(path, 'one frame of labelme', 'labelme', _folder(path)))
    images, annotations = data.get('images'), data.get('annotations')
    is_coco = isinstance(images, list) and images and isinstance(images[0], dict)
    if is_coco and 'videos' in data and not _has_file_names(data['videos']):
        raise InputError(_sentence(path, 'COCO with a record a frame (CocoVID)', 'coco', path))
    if is_coco and isinstance(annotations, list) and any(isinstance(record, dict) and track_id_of(record) is not None
                                                         for record in annotations[:100]):
        raise InputError(_sentence(path, 'COCO with a record a frame and tracks', 'coco', path))
    if isinstance(data.get('_via_img_metadata'), dict):
        raise InputError(f'{path} is of VGG Image Annotator, which is not read here: export it as COCO with a '
                         'track_id.')
    if isinstance(data.get('items'), list) and isinstance(data.get('categories'), dict):
        raise InputError(f'{path} is of Datumaro, which is not read here: export it as COCO or CVAT.')


def _has_file_names(videos: Any) -> bool:
    return isinstance(videos, list) and bool(videos) and isinstance(videos[0], dict) \
        and ('file_names' in videos[0] or 'length' in videos[0])


def _refuse_list(first: dict, path: str) -> None:
    if 'image_id' in first:
        raise InputError(f'{path} is a list of results of COCO, not an annotation file: {_COMMAND} coco {path} --to '
                         'results --annotations ANNOTATIONS --out results.json makes results of videos of it.')
    if 'data' in first and ('annotations' in first or 'predictions' in first):
        results = [result for entry in first.get('annotations') or [] if isinstance(entry, dict)
                   for result in entry.get('result') or [] if isinstance(result, dict)]
        kinds = {result.get('type') for result in results}
        if 'videorectangle' in kinds:
            raise InputError(f'{path} is of Label Studio and has boxes of videos alone: boxes say nothing of the masks '
                             'that are learned here; draw masks or polygons in CVAT or labelme (boxes start SAM '
                             'there).')
        raise InputError(f'{path} is of Label Studio, which is not read here: export it as COCO with a track_id.')
    if 'video_id' in first and 'segmentations' in first:
        raise InputError(f'{path} is a results file, not an annotation file: {_COMMAND} results {path} --annotations '
                         'ANNOTATIONS --out FILE.json makes annotations of it.')


def name_bytes(data: bytes, path: Any) -> Optional[str]:
    """A sentence on a file that is no JSON but known; None for any other."""
    head = data[:4096].lstrip(b'\xef\xbb\xbf \t\r\n')
    if head.startswith(b'<') and b'<annotations' in head:
        return _sentence(path, 'an XML file of CVAT', 'cvat', path)
    if head.startswith(b'PK\x03\x04'):
        return f'{path} is a ZIP file: unpack it (that of CVAT holds annotations.xml), then {_COMMAND} converts it.'
    if head.startswith(b'\x89PNG'):
        return f'{path} is a PNG picture; folders of masks are converted by {_COMMAND} davis (or mots, with 16 bits).'
    fields = head.split(b'\n', 1)[0].split()
    if len(fields) == 6 and all(field.isdigit() for field in fields[:5]):
        return _sentence(path, 'a text file of MOTS', 'mots', path)
    if head.split(b'\n', 1)[0].count(b',') >= 8:
        return (f'{path} may be of MOTChallenge, which has boxes alone: they say nothing of the masks that are learned '
                'here.')
    return None


def name_folder(path: Union[str, os.PathLike]) -> Optional[str]:
    """A sentence on a folder of annotations that is known; None for any other folder, or none."""
    folder = Path(path)
    if not os.path.isdir(folder):       # also False where the name is no name, which is told by who opens it
        return None
    if (folder / 'Annotations').is_dir():
        return _sentence(path, 'a folder of DAVIS or YouTube-VOS', 'davis', path)
    if (folder / 'instances').is_dir() or (folder / 'instances_txt').is_dir():
        return _sentence(path, 'a folder of MOTS', 'mots', path)
    for inner in (folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir())[:1]):
        names = sorted(os.listdir(inner))
        first = next((name for name in names if name.endswith('.json')), None)
        if first and b'"shapes"' in (inner / first).read_bytes()[:1 << 16]:
            return _sentence(path, 'a folder of labelme', 'labelme', path)
        if any(name.endswith('.xml') for name in names):
            return _sentence(path, 'a folder of CVAT', 'cvat', path)
    return None


def _folder(path: str) -> str:
    return os.path.dirname(path) or '.'


def _sentence(path: Any, what: str, name: str, source: Any) -> str:
    return f'{path} is {what}, not a YouTube-VIS file: {_COMMAND} {name} {source} --out FILE.json makes one of it.'
