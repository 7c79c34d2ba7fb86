"""The zip that the servers of YouTube-VIS 2019, 2021, 2022 and OVIS take: ``results.json`` at its top level."""
import os
import zipfile
from typing import Union

from mmvis.errors import InputError, InputMissingError
from mmvis.structures.output_file import open_output

#: The servers look for this name and no other.
INNER_NAME = 'results.json'
_NO_DATE = (1980, 1, 1, 0, 0, 0)  # equal results give equal zips


def write_submission(results: Union[str, os.PathLike], zip_path: Union[str, os.PathLike]) -> None:
    """Pack a results file, whatever its own name; the zip appears when it is complete. What is in it is not checked.

    Raises:
        InputError: there is no such file, or the zip is the results file or cannot be written.
    """
    if not os.path.isfile(results):
        raise InputMissingError(f'{results}: there is no such file.')
    info = zipfile.ZipInfo(INNER_NAME, _NO_DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    with open_output(zip_path, 'wb', inputs=[results]) as file, open(results, 'rb') as source, \
            zipfile.ZipFile(file, 'w') as archive:
        with archive.open(info, 'w', force_zip64=os.path.getsize(results) >= 1 << 31) as target:
            while piece := source.read(1 << 20):
                target.write(piece)


def check_submission(zip_path: Union[str, os.PathLike]) -> None:
    """Check that a file is such a zip, without looking into the results.

    Raises:
        FileNotFoundError, ValueError: it is not; the sentence says what is wrong.
    """
    if not os.path.isfile(zip_path):
        raise InputMissingError(f'{zip_path}: there is no such file.')
    if not zipfile.is_zipfile(zip_path):
        raise InputError(f'{zip_path}: not a zip file (tools/make_submission.py makes one).')
    with zipfile.ZipFile(zip_path) as archive:
        names = archive.namelist()
    if names.count(INNER_NAME) != 1:
        raise InputError(f'{zip_path}: the server looks for one {INNER_NAME} at the top level, but the zip holds '
                         f'{", ".join(names[:3]) or "nothing"}{" ..." if len(names) > 3 else ""}.')
