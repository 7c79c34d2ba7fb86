"""Files of safetensors, and folders of them as the Hugging Face hub has them: tensors and text, nothing that executes."""
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmvis.errors import InputError, InputMissingError, of_user_path
from mmvis.structures.output_file import replacing, write_output

PathLike = Union[str, os.PathLike]
#: Of a folder: one file, or the list of the files among which the tensors are spread.
ONE_FILE, LIST_OF_FILES = 'model.safetensors', 'model.safetensors.index.json'
#: Key in the head of a file of tools/publish_model.py.
PUBLISHED = 'mmvis'


def is_safetensors(head: bytes) -> bool:
    """Whether a file begins as one of safetensors: the length of its table in 8 bytes, then the table."""
    return head[8:9] == b'{' and int.from_bytes(head[:8], 'little') < 2**32


def is_folder_of_weights(path: PathLike) -> bool:
    """Whether a folder holds what ``read_folder`` reads."""
    return any(Path(path, name).is_file() for name in (ONE_FILE, LIST_OF_FILES))


def read_safetensors(path: PathLike) -> Dict[str, Tensor]:
    """The tensors of one file.

    Raises:
        InputError: it is damaged, cut off, or has types that this PyTorch lacks.
    """
    with of_user_path(f'Checkpoint {path}'):
        try:
            return load_file(path)
        except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
            reason = ' '.join(str(error).split())
            raise InputError(f'Checkpoint {path} is no file of safetensors, or it is cut off or damaged '
                             f'({reason[:160]}).') from error


def read_published_table(path: PathLike) -> Optional[Dict[str, Any]]:
    """What tools/publish_model.py has written into the head of a file; None of any other file.

    Raises:
        InputError: the file is damaged.
    """
    with of_user_path(f'Checkpoint {path}'):
        with open(path, 'rb') as file:
            if not is_safetensors(file.read(9)):
                return None
        try:
            with safe_open(path, 'pt') as file:
                table = json.loads((file.metadata() or {}).get(PUBLISHED, 'null'))
        except (SafetensorError, ValueError, RecursionError) as error:
            raise InputError(f'{path} is cut off or damaged ({" ".join(str(error).split())[:160]}).') from error
    return table if isinstance(table, dict) else None


def weight_files(folder: PathLike) -> List[Path]:
    """The files that hold the tensors of a folder.

    Raises:
        InputError: the list of files is damaged, or names one that is not in the folder.
    """
    folder = Path(folder)
    table = folder / LIST_OF_FILES
    if not table.is_file():
        return [folder / ONE_FILE]
    with of_user_path(table, 'cannot be read'):
        try:
            names = json.loads(table.read_text(encoding='utf-8'))['weight_map']
            names = sorted(set(names.values()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"{table} is no list of files: it needs a 'weight_map' from tensors to file names.") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise InputError(f'{table}: weight_map names {str(name)[:80]!r}, which is no file of that folder.')
        if not (folder / name).is_file():
            raise InputMissingError(f'{table}: weight_map names {name}, which is missing: download the whole folder.')
    return [folder / name for name in names]


def read_folder(folder: PathLike) -> Dict[str, Tensor]:
    """The tensors of all files of a folder.

    Raises:
        InputError: see ``weight_files`` and ``read_safetensors``; two files have a tensor of one name.
    """
    tensors: Dict[str, Tensor] = {}
    for file in weight_files(folder):
        found = read_safetensors(file)
        twice = sorted(tensors.keys() & found.keys())
        if twice:
            raise InputError(f'Checkpoint {folder}: {file.name} has the tensor {twice[0][:200]} once more.')
        tensors.update(found)
    return tensors


def write_folder(folder: PathLike, tensors: Mapping[str, Tensor], config: Mapping[str, Any],
                 inputs: List[PathLike] = ()) -> None:
    """Write ``model.safetensors`` and ``config.json``, whole or not at all.

    Args:
        inputs: files of the run, which are not written over.

    Raises:
        InputError, InputFileError: the folder cannot be written, or holds an input of the run.
    """
    with replacing(Path(folder, ONE_FILE), inputs) as path:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, path, {'format': 'pt'})
    write_output(Path(folder, 'config.json'), json.dumps(config, indent=2) + '\n', inputs)
