"""A model in one file of safetensors: weights, and in the table of its head the config and the classes.

The config is kept as text of plain values (``ast.literal_eval``), never run; what it names must be registered with mmvis
or mmdet, so that a file from anywhere cannot call anything else.
"""
import ast
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Union

import mmdet.registry
import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope
from safetensors.torch import save
from torch import Tensor

from mmvis import registry
from mmvis.converters import LoadReport, convert_state_dict, load_checkpoint, read_checkpoint
from mmvis.converters.load import find_state_dict
from mmvis.converters.safetensors_file import PUBLISHED, read_published_table, weight_files
from mmvis.engine.class_numbers import check_classes, check_trained, fill_class_number
from mmvis.errors import InputError, InputFileError, InputMissingError, of_user_path
from mmvis.shipped import find_checkpoint
from mmvis.structures.output_file import write_output
from mmvis.version import __version__

from .test_config import find_classes, test_dataset

PathLike = Union[str, os.PathLike]
#: Of a data set: where its files are on the machine of the training.
_PATHS = ('data_root', 'ann_file', 'img_prefix', 'split')
_HUB_ID = re.compile(r'\w[\w.-]*/\w[\w.-]*')
_CHECKSUM = re.compile(r'-([0-9a-f]{8})\.safetensors$')


def publish(config: Config, checkpoint: PathLike, folder: PathLike, name: str) -> Tuple[Path, LoadReport]:
    """Write a model, with weights of any known layout, to a published file; returns its path and what was loaded.

    The weights keep their type.

    Raises:
        InputError: see ``write_published``; the checkpoint is not of this model, or nothing tells its classes.
    """
    checkpoint = find_checkpoint(checkpoint)
    dataset = test_dataset(config)
    fill_class_number(config, checkpoint)
    init_default_scope('mmvis')
    model = registry.MODELS.build(config.model)
    report = load_checkpoint(model, checkpoint, logger='silent')
    check_trained(report, checkpoint, model)
    classes, category_ids = find_classes(dataset, report.dataset_meta)
    if classes is None or category_ids is None:
        raise InputError(f'Neither {checkpoint} nor the data set of {config.filename} tells the names of the classes: a '
                         'checkpoint of tools/train.py does, or the annotation file of the config.')
    check_classes(model, len(classes), dataset['type'])
    weights, _ = convert_state_dict(find_state_dict(read_checkpoint(checkpoint)), model)
    inputs = [config.filename, *(weight_files(checkpoint) if os.path.isdir(checkpoint) else [checkpoint])]
    return write_published(folder, name, weights, config, classes, category_ids, inputs), report


def write_published(folder: PathLike, name: str, tensors: Mapping[str, Tensor], config: Config, classes: Sequence[str],
                    category_ids: Sequence[int], inputs: Sequence[PathLike] = ()) -> Path:
    """Write a model to ``FOLDER/NAME-CHECKSUM.safetensors``; the checksum is the beginning of the file's SHA-256.

    Args:
        tensors: the weights, under the keys of the model.
        config: of the test; of its data set are kept the kind and the transforms.
        classes, category_ids: of the labels.
        inputs: files of the run, which are not written over.

    Raises:
        InputError: the config has something that is no plain value, or parts of its own modules.
        InputFileError: the file cannot be written.
    """
    plain = _plain_config(config)
    table = dict(version=__version__, config=repr(plain), classes=list(classes), category_ids=list(category_ids))
    # one key only: safetensors gives several of them a new order each time, and the file another checksum
    content = save({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()},
                   {PUBLISHED: json.dumps(table)})
    path = Path(folder, f'{name}-{hashlib.sha256(content).hexdigest()[:8]}.safetensors')
    write_output(path, content, inputs)
    return path


def _plain_config(config: Config) -> Dict[str, Any]:
    if config.get('custom_imports'):
        raise InputError(f'{config.filename} has custom_imports: modules of its own, which a published file cannot carry.')
    whole = config.to_dict()
    dataset = {key: value for key, value in whole['test_dataloader']['dataset'].items() if key not in _PATHS}
    plain = _without_starts(dict(model=whole['model'], test_dataloader=dict(dataset=dataset)))
    try:
        same = ast.literal_eval(repr(plain)) == plain
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise InputError(f'{config.filename}: model and test_dataloader.dataset must be of dicts, lists, tuples, numbers, '
                         'texts and None to be published.')
    return plain


def _without_starts(part: Any) -> Any:
    """Without the files that a training starts from."""
    if isinstance(part, dict):
        return {key: _without_starts(value) for key, value in part.items()
                if not (key == 'init_cfg' and isinstance(value, dict) and value.get('type') == 'Pretrained')}
    return type(part)(map(_without_starts, part)) if isinstance(part, (list, tuple)) else part


def read_published(path: PathLike) -> Config:
    """The config of a published model.

    Raises:
        InputError: the file is none, was changed since it was written, or names something that is not registered.
    """
    table = read_published_table(path)
    if table is None:
        raise InputError(f'{path} is no model of tools/publish_model.py: it carries no config. VISPredictor(config, '
                         'checkpoint) takes weights beside their config.')
    _check_sum(path)
    try:
        config = ast.literal_eval(table['config'])
        names = set(_types(config['model'])) | set(_types(config['test_dataloader']['dataset']))
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise InputError(f'{path} has no config of a test in it ({type(error).__name__}).') from error
    unknown = sorted(map(str, names - _registered()))
    if unknown:
        raise InputError(f'{path} is of a model with {unknown[0][:80]!r}, which this mmvis ({__version__}; the file is of '
                         f'{str(table.get("version"))[:20]}) does not have.')
    return Config(dict(default_scope='mmvis', model=config['model'], test_dataloader=config['test_dataloader']))


def _check_sum(path: PathLike) -> None:
    wanted = _CHECKSUM.search(os.fspath(path))
    if wanted is None:  # it was given another name
        return
    digest = hashlib.sha256()
    with of_user_path(path), open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if not digest.hexdigest().startswith(wanted.group(1)):
        raise InputError(f'{path} is damaged or was changed: its SHA-256 begins with {digest.hexdigest()[:8]}, not with '
                         f'{wanted.group(1)}. Download it again.')


def _types(part: Any) -> Iterator[Any]:
    """All names of classes in a config, and scopes in front of them."""
    if isinstance(part, dict):
        yield from (part[key] for key in ('type', '_scope_') if key in part)
        part = part.values()
    if not isinstance(part, str) and hasattr(part, '__iter__'):
        for item in part:
            yield from _types(item)


def _registered() -> Set[str]:
    for own in (registry.MODELS, registry.DATASETS, registry.TRANSFORMS):
        own.import_from_location()
    names: Set[str] = {'mmvis', 'mmdet'}
    for scope, module in (('', mmengine.registry), ('', registry), ('mmvis.', registry), ('mmdet.', mmdet.registry)):
        for found in vars(module).values():
            if isinstance(found, Registry):
                names.update(f'{scope}{key}' for key in found.module_dict)
    return names


def find_published(source: PathLike, revision: Optional[str] = None) -> str:
    """The file of a published model.

    Args:
        source: the file, a folder that holds it, or an id of the Hugging Face hub, OWNER/NAME; what is on the disk goes
            first.
        revision: of the repository on the hub.

    Raises:
        InputError: there is none, or several.
    """
    text = os.fspath(source)
    if os.path.isfile(text):
        return text
    folder = text
    if not os.path.isdir(text):
        if not _HUB_ID.fullmatch(text):
            raise InputMissingError(f'There is no published model {text}: give a file of tools/publish_model.py, its '
                                    'folder, or the id of a repository of the Hugging Face hub, OWNER/NAME.')
        folder = _fetch_from_hub(text, revision)
    files: List[str] = sorted(map(str, Path(folder).glob('*.safetensors')))
    if len(files) != 1:
        some = f'has {len(files)} files of safetensors: give one of them' if files else 'has no file of safetensors'
        raise InputMissingError(f'{text} {some}.')
    return files[0]


def _fetch_from_hub(name: str, revision: Optional[str]) -> str:
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(f'{name} is no file and no folder here, and to look for it on the Hugging Face hub '
                         'huggingface_hub is needed, which is not installed: pip install huggingface_hub.') from None
    try:
        return huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=['*.safetensors'])
    except Exception as error:  # which ones differs from one release to the next
        reason = ' '.join(str(error).split())[:200].rstrip('.')
        raise InputFileError(f'{name} is no file and no folder here, and the Hugging Face hub does not give it: '
                             f'{type(error).__name__} ({reason}). Without a network, give the folder that it was '
                             'downloaded to.') from error
