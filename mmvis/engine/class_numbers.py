"""Do model, data and checkpoint know the same classes? Asked before anything is run."""
import logging
from typing import Any, Dict, Iterator, List, Optional, Sequence

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from mmvis.converters import LoadReport, dataset_meta, read_checkpoint
from mmvis.errors import InputError
from mmvis.models.base import VISModel
from mmvis.registry import DATASETS


def fill_class_number(cfg: Config, checkpoint: Optional[str] = None) -> None:
    """Put the number of classes where the model of a config says ``num_classes=0``: as many as there are.

    They are counted in the checkpoint, if one is named that remembers the classes of its training, else in the
    annotation file of the first data loader of the config.

    Raises:
        InputError: there is neither.
    """
    places = list(_open_places(cfg.get('model') or {}))
    if not places:
        return
    classes = checkpoint and dataset_meta(read_checkpoint(checkpoint)).get('classes')
    if not classes:
        loaders = (cfg.get(name) for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'))
        dataset = next((loader.dataset for loader in loaders if loader), None)
        if dataset is None:
            raise InputError(f'{cfg.filename}: num_classes is 0, which stands for the number of categories in the '
                             'annotation file, but the config has no data loader: set num_classes.')
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmvis')):
            classes = DATASETS.build(dataset).metainfo['classes']
    for place in places:
        place['num_classes'] = len(classes)
    if cfg.get('num_classes') == 0:
        cfg.num_classes = len(classes)


def _open_places(part: Any) -> Iterator[Dict[str, Any]]:
    if isinstance(part, dict):
        number = part.get('num_classes')
        if number == 0 and number is not False:
            yield part
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for item in part:
            yield from _open_places(item)


def check_data(model: VISModel, datasets: List[Any]) -> None:
    """:func:`check_classes` of the data sets of a run, with at most one warning."""
    for dataset in datasets:
        meta = getattr(dataset, 'metainfo', None) or {}
        if 'classes' in meta and not check_classes(model, len(meta['classes']), meta.get('ann_file') or 'the data set'):
            return


def check_classes(model: VISModel, number: int, file: str) -> bool:
    """Compare the classes that a model tells apart with the categories of its data; says whether they are as many.

    Raises:
        InputError: the model has fewer. If it has more, one line says so.
    """
    if model.num_classes is None or number == model.num_classes:
        return True
    if number > model.num_classes:
        raise InputError(f'{file} has {number} categories, but the model tells only {model.num_classes} classes apart: '
                         'set num_classes to that of the data (or name fewer in dataset.classes).')
    print_log(f'{file} has {number} categories and the model {model.num_classes} classes: the last '
              f'{model.num_classes - number} have no data.', logger='current', level=logging.WARNING)
    return False


def check_ground_truth(dataset: Any) -> None:
    """A validation needs something to compare with.

    Raises:
        InputError: the annotation file has no annotations.
    """
    meta = getattr(dataset, 'metainfo', None) or {}
    if not meta.get('has_annotations', True):
        raise InputError(f'{meta.get("ann_file")} has no annotations, so nothing can be validated on it: train without '
                         '--validate (and train_cfg.val_interval), or name another file in val_dataloader.dataset.ann_file.')


def check_trained(report: LoadReport, path: str, model: VISModel, classes: Optional[Sequence[str]] = None,
                  anyway: bool = False) -> None:
    """Is this the checkpoint of this model, to be tested or shown?

    Args:
        report: what became of its tensors.
        path: of the checkpoint.
        classes: names of the classes of the data, if they are known.
        anyway: warn where there would be an error.

    Raises:
        InputError: most tensors of the model are not in the file, or some have another shape there.
    """
    name, total = type(model).__name__, len(report.mapped) + len(report.missing)
    reshaped = report.reshaped()
    reason = None
    if 2 * len(report.missing) > total:
        reason = (f'{len(report.missing)} of the {total} tensors of {name} are not in {path} ({report.missing[0]} first): it '
                  'is the checkpoint of another model.')
    elif reshaped:
        reason = (f'{path} is the checkpoint of a {name} of another size, or for another number of classes: {reshaped[0]} '
                  f'has {report.dropped[reshaped[0]]}' + (f' ({len(reshaped)} tensors in all).' if len(reshaped) > 1 else '.'))
    if reason and not anyway:
        raise InputError(f'{reason} --load-anyway takes what fits.')
    if report.missing:
        reason = reason or f'{len(report.missing)} tensors of the model are not in {path} ({report.missing[0]} first).'
        print_log(f'{reason} They keep their initial values: these are no results of a trained model.', logger='current',
                  level=logging.WARNING)
    trained = report.dataset_meta.get('classes')
    if trained and classes and tuple(trained) != tuple(classes):
        print_log(f'{path} was trained on the classes {_some(trained)}; the data have {_some(classes)}.',
                  logger='current', level=logging.WARNING)


def check_start(report: LoadReport, path: str, model: VISModel) -> None:
    """Are these weights that a training of this model can start from? A class layer of another size starts anew.

    Raises:
        InputError: fewer than half of the tensors of the file have found a place.
    """
    reshaped = report.reshaped()
    total = len(report.mapped) + len(report.unexpected) + len(reshaped)
    if 2 * len(report.mapped) < total:
        first = (report.unexpected or reshaped)[0]
        raise InputError(f'Only {len(report.mapped)} of the {total} tensors of {path} have a place in {type(model).__name__} '
                         f'({first} has none): these are the weights of another model.')
    if reshaped:
        print_log(f'{", ".join(reshaped[:4])}{" ..." if len(reshaped) > 4 else ""} of {path}: {report.dropped[reshaped[0]]}. '
                  f'{"They start" if len(reshaped) > 1 else "It starts"} anew.', logger='current', level=logging.WARNING)


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:5]) + (f' ... ({len(names)})' if len(names) > 5 else '')
