"""Small annotated sets in the formats of other tools, written line by line as those tools do, not by our own writers.

Two videos of five frames: a 'car' that moves to the right in both, and in the first a 'person' that is away in frame 2.
"""
import json
from pathlib import Path
from typing import Dict, List, Tuple

import cv2
import numpy as np

HEIGHT, WIDTH, NUM_FRAMES = 48, 80, 5
VIDEOS = ('street', 'yard')
#: (video, class) -> box x y w h by frame.
BOXES: Dict[Tuple[str, str], Dict[int, Tuple[int, int, int, int]]] = {
    ('street', 'car'): {t: (4 + 8 * t, 10, 20, 12) for t in range(NUM_FRAMES)},
    ('street', 'person'): dict.fromkeys((0, 1, 3, 4), (60, 20, 8, 20)),
    ('yard', 'car'): {t: (30 - 4 * t, 24, 18, 10) for t in range(NUM_FRAMES)}}
CLASS_IDS = {'car': 1, 'person': 2}


def mask_of(box) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    x, y, w, h = box
    mask[y:y + h, x:x + w] = 1
    return mask


def corners(box) -> List[List[float]]:
    x, y, w, h = box
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def objects(video: str) -> List[Tuple[int, str, Dict[int, Tuple[int, int, int, int]]]]:
    """(number from 1, class, boxes) of a video."""
    return [(number, category, boxes) for number, ((name, category), boxes) in
            enumerate((item for item in BOXES.items() if item[0][0] == video), start=1)]


def write_pictures(folder: Path, first: int = 0) -> Path:
    """``folder/<video>/<number>.jpg``."""
    for video in VIDEOS:
        (folder / video).mkdir(parents=True, exist_ok=True)
        for t in range(NUM_FRAMES):
            picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
            for number, _, boxes in objects(video):
                if t in boxes:
                    picture[mask_of(boxes[t]) > 0] = (60 * number, 200, 250 - 60 * number)
            cv2.imwrite(str(folder / video / f'{t + first:06d}.jpg'), picture)
    return folder


def write_labelme(root: Path) -> Path:
    """Pictures and JSON files side by side; one imagePath is of Windows, one file has no size."""
    write_pictures(root)
    for video in VIDEOS:
        for t in range(NUM_FRAMES):
            shapes = []
            for number, category, boxes in objects(video):
                if t in boxes:
                    shapes.append(dict(label=category, points=corners(boxes[t]), group_id=number, description='',
                                       shape_type='polygon', flags={}, mask=None))
            page = dict(version='5.4.1', flags={}, shapes=shapes, imagePath=f'{t:06d}.jpg', imageData=None,
                        imageHeight=HEIGHT, imageWidth=WIDTH)
            if t == 1:
                page['imagePath'] = f'..\\..\\{video}\\{t:06d}.jpg'
            if t == 2:
                del page['imageHeight']
            (root / video / f'{t:06d}.json').write_text(json.dumps(page))
    return root


def write_cvat(root: Path) -> Path:
    """A file a video as CVAT for video 1.1 has them: every frame, then one that is outside."""
    write_pictures(root / 'images')
    for video in VIDEOS:
        lines = ['<?xml version="1.0" encoding="utf-8"?>', '<annotations>', '<version>1.1</version>', '<meta><task>',
                 f'<id>7</id><name>{video}</name><size>{NUM_FRAMES}</size><mode>interpolation</mode>',
                 f'<start_frame>0</start_frame><stop_frame>{NUM_FRAMES - 1}</stop_frame><frame_filter></frame_filter>',
                 '<labels><label><name>person</name><type>any</type></label>',
                 '<label><name>car</name><type>any</type></label></labels>',
                 f'<original_size><width>{WIDTH}</width><height>{HEIGHT}</height></original_size>',
                 f'<source>{video}.mp4</source></task></meta>']
        for number, category, boxes in objects(video):
            lines.append(f'<track id="{number - 1}" label="{category}" source="manual">')
            for t in range(NUM_FRAMES):
                box = boxes.get(t)
                if box is not None:
                    points = ';'.join(f'{x:.2f},{y:.2f}' for x, y in corners(box))
                    lines.append(f'<polygon frame="{t}" keyframe="{int(t == 0)}" outside="0" occluded="0" '
                                 f'points="{points}" z_order="0"></polygon>')
                elif t - 1 in boxes:
                    lines.append(f'<polygon frame="{t}" keyframe="1" outside="1" occluded="0" '
                                 f'points="{points}" z_order="0"></polygon>')
            lines.append('</track>')
        (root / f'{video}.xml').write_text('\n'.join([*lines, '</annotations>']))
    return root


def write_coco(root: Path) -> Path:
    """One file; a polygon a mask; videos by the folders of the pictures."""
    write_pictures(root / 'images')
    images, annotations = [], []
    for video in VIDEOS:
        for t in reversed(range(NUM_FRAMES)):
            images.append(dict(id=len(images) + 10, file_name=f'{video}/{t:06d}.jpg', width=WIDTH, height=HEIGHT))
            for number, category, boxes in objects(video):
                if t in boxes:
                    x, y, w, h = boxes[t]
                    annotations.append(dict(
                        id=len(annotations) + 1, image_id=images[-1]['id'], category_id=CLASS_IDS[category],
                        track_id=number, iscrowd=0, bbox=[x, y, w, h], area=w * h,
                        segmentation=[[float(v) for point in corners(boxes[t]) for v in point]]))
    categories = [dict(id=class_id, name=name) for name, class_id in CLASS_IDS.items()]
    path = root / 'tracks.json'
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return path


def write_mots(root: Path) -> Path:
    """PNG files of 16 bits, pictures from 000001 on, and a region to be ignored."""
    write_pictures(root / 'images', first=1)
    for video in VIDEOS:
        (root / 'instances' / video).mkdir(parents=True)
        for t in range(NUM_FRAMES):
            labels = np.zeros((HEIGHT, WIDTH), np.uint16)
            labels[:4] = 10000
            for number, category, boxes in objects(video):
                if t in boxes:
                    labels[mask_of(boxes[t]) > 0] = 1000 * CLASS_IDS[category] + number
            cv2.imwrite(str(root / 'instances' / video / f'{t + 1:06d}.png'), labels)
    (root / 'categories.json').write_text(json.dumps({str(value): name for name, value in CLASS_IDS.items()}))
    return root


def write_davis(root: Path) -> Path:
    """Palette PNG files in Annotations/480p, void in 255, classes in meta.json as of YouTube-VOS."""
    from PIL import Image
    write_pictures(root / 'JPEGImages' / '480p')
    meta = {}
    for video in VIDEOS:
        (root / 'Annotations' / '480p' / video).mkdir(parents=True)
        meta[video] = dict(objects={str(number): dict(category=category, frames=[])
                                    for number, category, _ in objects(video)})
        for t in range(NUM_FRAMES):
            labels = np.zeros((HEIGHT, WIDTH), np.uint8)
            labels[:2] = 255
            for number, _, boxes in objects(video):
                if t in boxes:
                    labels[mask_of(boxes[t]) > 0] = number
            picture = Image.fromarray(labels)
            picture.putpalette([value for number in range(256) for value in (number, 255 - number, 0)])
            picture.save(root / 'Annotations' / '480p' / video / f'{t:06d}.png')
    (root / 'meta.json').write_text(json.dumps(dict(videos=meta)))
    return root


WRITERS = dict(labelme=write_labelme, cvat=write_cvat, coco=write_coco, mots=write_mots, davis=write_davis)
