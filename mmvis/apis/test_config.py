"""What the config of a test says without its data."""
from typing import Any, Dict, Optional, Tuple

from mmengine.config import Config

from mmvis.datasets import VISDataset
from mmvis.datasets.sample_set import CATEGORIES
from mmvis.errors import InputError
from mmvis.registry import DATASETS


def test_dataset(config: Config) -> Dict[str, Any]:
    """The config of the test set: it has the pipeline and tells the classes."""
    dataset = (config.get('test_dataloader') or {}).get('dataset')
    if config.get('model') is None or dataset is None:
        raise InputError(f'{config.filename or "The config"} has no model or no test_dataloader.dataset: it is not the '
                         f'config of a test.')
    return dataset


def find_classes(dataset: Dict[str, Any], meta: Dict[str, Any]) \
        -> Tuple[Optional[Tuple[str, ...]], Optional[Tuple[int, ...]]]:
    """Names and category ids of the labels: of a published set, else as the training wrote them into the checkpoint,
    else of the annotation file if it is there; the classes of the sample set are known without it."""
    kind = DATASETS.get(dataset['type'])
    published = hasattr(kind, 'published_classes') and kind.published_classes(**dataset)
    if published:
        return tuple(published.values()), tuple(published)
    if 'category_ids' not in meta:
        try:
            built: VISDataset = DATASETS.build(dataset)
        except (FileNotFoundError, ValueError):
            if dataset['type'] == 'SampleDataset':
                return tuple(CATEGORIES.values()), tuple(CATEGORIES)
            return None, None
        meta = built.metainfo
    return tuple(meta['classes']), tuple(meta['category_ids'])
