"""The file of a checkpoint, or the folder: nothing in it is executed, and one that is damaged or none is told in a sentence."""
import argparse
import os
import stat
import zipfile
from typing import Any, Dict, Optional, Union

import torch
from torch import Tensor

from mmvis.errors import InputError, InputFileError, InputMissingError, of_user_path

from .detectron2_file import read_pickle
from .safetensors_file import is_folder_of_weights, is_safetensors, read_folder, read_published_table, read_safetensors

#: Trainings of the DETR family keep their options (``args``) beside the weights, in a record of plain values.
_RECORDS = [argparse.Namespace]
_ZIP, _PICKLE = b'PK\x03\x04', b'\x80'
#: How files of PyTorch before 1.6 begin: their magic number, pickled.
_OLD_FORMAT = b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'
#: A tensor may repeat the values of a smaller storage (``expand``), up to this size.
_MAX_REPEATED = 2**30


def read_checkpoint(path: Union[str, os.PathLike]) -> Dict[str, Any]:
    """The contents of a checkpoint on the CPU; only tensors, plain Python values and argparse's record of options are
    accepted.

    Args:
        path: a file of PyTorch, of safetensors or of detectron2 (.pkl), or a folder of safetensors as the Hugging Face
            hub has them.

    Raises:
        FileNotFoundError: no such file. ValueError: not a checkpoint, cut off, damaged (each part of a file of PyTorch
            1.6 or later has a checksum), or it holds other Python objects.
    """
    with of_user_path(f'Checkpoint {path}'):
        if not os.path.exists(path):
            raise InputMissingError(f'Checkpoint {path} does not exist.')
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode) and is_folder_of_weights(path):
            return read_folder(path)
        if not stat.S_ISREG(status.st_mode):
            kind = 'a folder without model.safetensors' if stat.S_ISDIR(status.st_mode) else 'no ordinary file'
            raise InputFileError(f'Checkpoint {path} is {kind}: give a file, such as epoch_12.pth.')
        with open(path, 'rb') as file:
            head = file.read(512)
    if is_safetensors(head):
        tensors, published = read_safetensors(path), read_published_table(path)
        return dict(state_dict=tensors, meta=dict(dataset_meta=published)) if published else tensors
    if head.startswith(_PICKLE) and not head.startswith(_OLD_FORMAT):
        return read_pickle(path)
    foreign = _foreign(head)
    if foreign is not None:
        raise InputError(f'Checkpoint {path} {foreign}.')
    try:
        if head.startswith(_ZIP):
            _check_parts(path, status.st_size)
        with torch.serialization.safe_globals(_RECORDS):
            content = torch.load(path, map_location='cpu', weights_only=True)
    except InputError:
        raise
    except Exception as error:            # torch raises many kinds here; each means that the file is of no use
        if 'Unsupported global' in str(error) or 'weights_only' in str(error) and 'GLOBAL' in str(error):
            raise InputError(f'Checkpoint {path} holds Python objects beside tensors and plain values; loading those '
                             'could run foreign code, so it is refused. Save its state_dict alone and load that.'
                             ) from error
        reason = str(error).strip().split('\n')[0].split('. ')[0] or type(error).__name__  # torch's first sentence
        raise InputError(f'{path} is not a checkpoint of PyTorch, or it is cut off or damaged '
                         f'({reason[:160]}).') from error
    if not isinstance(content, dict):
        raise InputError(f'Checkpoint {path} holds a {type(content).__name__}, not a dict of tensors.')
    return content


def _foreign(head: bytes) -> Optional[str]:
    """What a file is that is often taken for a checkpoint, by its first bytes; None if it may be one."""
    if not head:
        return 'is empty: a download or copy was broken off'
    text = head.lstrip(b'\xef\xbb\xbf \t\r\n').lower()
    if text.startswith((b'<!doctype', b'<html', b'<?xml', b'<head', b'<script')):
        return 'is a web page, which a server sent in place of the file (a login, a quota, or the question of Google ' \
               'Drive whether to download without a scan for viruses): download it with ' \
               'tools/download_checkpoint.py or in a browser'
    if text.startswith(b'version https://git-lfs'):
        return 'is a pointer of Git LFS, not the file itself: run `git lfs pull` where it comes from, or download it'
    if text.startswith((b'{', b'[')):
        return f'is text, perhaps the answer of a server in place of the file: {head[:80].decode("utf-8", "replace")!r}'
    if head.startswith((b'\x1f\x8b', b'7z\xbc\xaf', b'BZh', b'\xfd7zXZ', b'Rar!')) or head[257:262] == b'ustar':
        return 'is an archive: unpack it and give the file that is in it'
    return None


def _check_parts(path: Union[str, os.PathLike], size: int) -> None:
    """Compare each part with its checksum, which PyTorch writes but does not look at: 0.3 s for 200 MB.

    Raises:
        InputError: a part is damaged, or the archive is none of PyTorch.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        names = [part.filename for part in parts]
        if not any(name.endswith('/data.pkl') for name in names):
            raise InputError(f'Checkpoint {path} is a zip archive, but none of PyTorch (it holds {names[:3]}): unpack '
                             'it and give the file that is in it.')
        if any(name.endswith('/constants.pkl') for name in names):
            raise InputError(f'Checkpoint {path} is a TorchScript program, not weights alone: save the state_dict of '
                             'the model.')
        if sum(part.file_size for part in parts) > size:
            raise InputError(f'Checkpoint {path} announces more than it holds ({size} bytes): it is damaged or no '
                             'checkpoint.')
        # torch.serialization.set_crc32_options(False) leaves every checksum at 0
        damaged = archive.testzip() if any(part.CRC for part in parts) else None
    if damaged is not None:
        raise InputError(f'Checkpoint {path} is damaged: its part {damaged} does not have its checksum any more. '
                         'Copy or download it again.')


def check_tensors(tensors: Dict[Any, Tensor]) -> None:
    """Refuse tensors that a model cannot take its values from.

    Raises:
        InputError: a key is no text; a tensor is sparse, quantized, has no values, or announces far more than there are.
    """
    for key, value in tensors.items():
        odd = None
        if not isinstance(key, str):
            raise InputError(f'it has a tensor under the key {str(key)[:80]}, which is no text.')
        if value.layout != torch.strided or value.is_nested:
            odd = f'is not dense ({value.layout})'
        elif value.is_quantized:
            odd = 'is quantized'
        elif value.device.type == 'meta':
            odd = 'has no values (it was saved on the meta device)'
        elif value.numel() * value.element_size() > max(value.untyped_storage().nbytes(), _MAX_REPEATED):
            odd = f'announces {value.numel()} values, but {value.untyped_storage().nbytes()} bytes are there'
        if odd is not None:
            raise InputError(f'its tensor {key[:200]} {odd}.')


def check_weights(state_dict: Dict[Any, Any]) -> None:
    """Refuse weights that a training could not have been left with.

    Raises:
        InputError: see ``check_tensors``; a value is no tensor, or holds NaN or infinite numbers.
    """
    for key, value in state_dict.items():
        if not isinstance(value, Tensor):
            raise InputError(f'its weight {str(key)[:200]} is a {type(value).__name__}, not a tensor.')
    check_tensors(state_dict)
    for key, value in state_dict.items():
        if not is_finite(value):
            raise InputError(not_finite(key))


def not_finite(key: str) -> str:
    return f'its tensor {key[:200]} holds NaN or infinite values: the training that wrote it had come to grief, or the ' \
           'file is damaged.'


def is_finite(value: Tensor) -> bool:
    """Whether no value is NaN or infinite; one pass without a copy."""
    if not (value.is_floating_point() or value.is_complex()) or not value.numel():
        return True
    if value.is_complex():
        value = torch.view_as_real(value.resolve_conj())
    elif value.element_size() == 1:  # 8 bits have no such operator
        value = value.float()
    low, high = torch.aminmax(value)
    return bool(torch.isfinite(low) & torch.isfinite(high))
