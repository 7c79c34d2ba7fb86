"""AP and AR of single images by COCO's rules; pycocotools does the work."""
import contextlib
import io
import os
from typing import Any, Dict, Iterator, List, Sequence, Union

from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmvis.errors import InputError
from mmvis.registry import METRICS
from mmvis.structures import VideoResult

from .matching import Entry
from .vis_eval import Evaluator, show

#: COCO's twelve numbers: the areas are in pixels of the image.
NAMES = {'AP': 'IoU 0.50:0.95', 'AP50': 'IoU 0.50', 'AP75': 'IoU 0.75', 'APs': 'area up to 32 x 32',
         'APm': 'area up to 96 x 96', 'APl': 'area above', 'AR1': 'best instance of an image and category',
         'AR10': 'best 10', 'AR100': 'best 100', 'ARs': 'area up to 32 x 32', 'ARm': 'area up to 96 x 96',
         'ARl': 'area above'}


def as_detections(entries: Sequence[Entry]) -> Iterator[Dict[str, Any]]:
    """Entries of a results file of one-frame videos as COCO has detections; those without a pixel are left out.

    Raises:
        InputError: an entry has not one frame.
    """
    for entry in entries:
        if len(entry['segmentations']) != 1:
            raise InputError(f'Result of image {entry["video_id"]}, category {entry["category_id"]}: segmentations has '
                             f'{len(entry["segmentations"])} frames, and an image is one.')
        mask = entry['segmentations'][0]
        if mask is not None:
            yield dict(image_id=entry['video_id'], category_id=entry['category_id'], score=entry['score'],
                       segmentation=mask)


def evaluate_images(detections: List[Dict[str, Any]], ann_file: str) -> Dict[str, float]:
    """``NAMES`` -> value in 0 .. 1, -1 where nothing of that kind is annotated.

    Args:
        detections: as pycocotools takes them, of images of ``ann_file``; images without any count as missed.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress
        truth = COCO(ann_file)
        if detections:
            found = truth.loadRes(detections)
        else:
            found = COCO()
            found.dataset = dict(images=truth.dataset['images'], categories=truth.dataset['categories'], annotations=[])
            found.createIndex()
        evaluator = COCOeval(truth, found, 'segm')
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(NAMES, evaluator.stats.tolist()))


def evaluate_image_results(results: Union[str, os.PathLike, Sequence[Entry]], ann_file: str) -> Dict[str, float]:
    """The same of a results file (or its entries), whose videos are the images.

    Raises:
        InputError: an unknown image, a missing key, a score that is no number, a mask that does not fill its image.
    """
    by_image = Evaluator(results, ann_file).entries.values()  # it checks all that it is given
    return evaluate_images([found for entries in by_image for found in as_detections(entries)], ann_file)


def image_table(stats: Dict[str, float]) -> str:
    """The numbers as text."""
    return '\n'.join(f'{name:<6}{show(value):>6}  {NAMES[name]}' for name, value in stats.items())


@METRICS.register_module()
class COCOMetric(BaseMetric):
    """AP and AR of the instances of images, each a video of one frame, against the dataset's annotation file.

    ``dataset_meta`` must hold ``ann_file``, ``has_annotations`` and ``category_ids``, those of the file.
    """
    default_prefix = 'coco'

    def process(self, data_batch: Any, data_samples: Sequence[VideoResult]) -> None:
        """Keep the detections of images."""
        for result in data_samples:
            self.results += as_detections([
                dict(video_id=result.video_id, category_id=self.dataset_meta['category_ids'][track.label],
                     score=float(track.score), segmentations=[track.masks.get(0)]) for track in result.tracks])

    def evaluate(self, size: int) -> Dict[str, float]:
        """Statistics over the images of all processes, the same on each of them."""
        gathered = [found for part in all_gather_object(list(self.results)) for found in part]
        self.results.clear()
        return {f'{self.prefix}/{name}': value for name, value in self.compute_metrics(gathered).items()}

    def compute_metrics(self, results: List[Dict[str, Any]]) -> Dict[str, float]:
        """``segm_AP`` and the other numbers."""
        if not self.dataset_meta['has_annotations']:
            print_log(f'{self.dataset_meta["ann_file"]} has no annotations: AP is not computed.', logger='current')
            return {}
        stats = evaluate_images(results, self.dataset_meta['ann_file'])
        print_log('\n' + image_table(stats), logger='current')
        return {f'segm_{name}': value for name, value in stats.items()}
