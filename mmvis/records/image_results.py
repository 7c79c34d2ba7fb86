"""Results of single images in the form of COCO: a JSON list, one dict an instance."""
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, List, Sequence, Union

from mmvis.structures import FrameInstances
from mmvis.structures.output_file import open_output

#: Takes the id and the file name of an image, and its instances.
AddImage = Callable[[int, str, FrameInstances], None]


@contextmanager
def image_results(path: Union[str, Path], category_ids: Sequence[int]) -> Iterator[AddImage]:
    """A file of ``{"image_id", "file_name", "category_id", "score", "bbox": [x, y, w, h], "segmentation"}``, which
    pycocotools' ``loadRes`` takes, written image by image; it comes to its place when the block ends well.

    Args:
        category_ids: category id of the annotation file of each label.

    Raises:
        InputError, InputFileError: see ``open_output``.
    """
    with open_output(path) as file:
        separator = '['

        def add(image_id: int, file_name: str, found: FrameInstances) -> None:
            nonlocal separator
            for label, score, (x1, y1, x2, y2), rle in zip(found.labels.tolist(), found.scores.tolist(),
                                                           found.boxes.tolist(), found.masks):
                if rle is None:
                    continue
                entry = dict(image_id=image_id, file_name=file_name, category_id=category_ids[label], score=score,
                             bbox=[x1, y1, x2 - x1, y2 - y1], segmentation=rle)
                file.write(separator + json.dumps(entry))
                separator = ', '

        yield add
        file.write('[]' if separator == '[' else ']')


def image_ids(files: Sequence[Union[str, Path]]) -> List[int]:
    """Ids of images by their files: the numbers that are their names, as COCO names its images, where all have one and
    no two the same; else 1, 2, ... in their order."""
    names = [Path(file).stem for file in files]
    if all(name.isascii() and name.isdecimal() for name in names):
        numbers = list(map(int, names))
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(1, len(files) + 1))
