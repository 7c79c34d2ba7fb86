"""Fetching published checkpoints. A download that was stopped goes on; a file gets its name when it is whole and is what it
should be. What lies on Google Drive comes through gdown."""
import hashlib
import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager, nullcontext
from http.client import HTTPException
from pathlib import Path
from typing import Iterator, Optional, Tuple

from tqdm import tqdm

from mmvis.errors import InputError, InputFileError
from mmvis.model_zoo import Entry, find_model, on_disk
from mmvis.shipped import models_folder

try:
    import fcntl
except ImportError:  # Windows: a second download of the same file is not noticed there
    fcntl = None

DRIVE = 'https://drive.google.com/'
#: A published checkpoint is at most this large, in bytes, where the table does not know its size.
LARGEST = 8 << 30
#: A file of torch.save is a zip, or, of old versions, a pickle.
FILE_STARTS = b'PK\x03\x04', b'\x80'


class NotTheFile(InputError):
    """What came is not what the table says."""


def model_files(name: str) -> Tuple[str, str]:
    """Config and checkpoint of a model by its name. The checkpoint is fetched if it is not on this machine.

    Raises:
        InputError: there is no model of this name, or what came is not the file.
        InputFileError: it could not be fetched. The sentence has the address and the place where it belongs.
    """
    entry = find_model(name)
    return entry['config'], str(on_disk(entry) or download(entry, models_folder()))


def download(entry: Entry, folder: Path) -> Path:
    """Fetch one entry of the table into ``folder``; what is there already stays.

    Raises:
        OSError: the network or the disk refuses.
        ValueError: what came is not the file.
    """
    target = folder / entry['file']
    by_hand = f'By hand: {entry["url"]}, to be put at {target}.'
    if target.exists():
        print(f'{target} is there already.')
        return target
    if 'licence' in entry:
        print(f'{entry["file"]}: licence: {entry["licence"]}.')
    if entry['url'] is None:
        raise InputError(f'{entry["file"]} has no address that it could be fetched from ({entry["what"]}). By hand: '
                         f'{entry["page"]}, to be put at {target}.')
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'{target.name}.part')
    by_http = not entry['url'].startswith(DRIVE)
    try:
        with _alone(part) if by_http else nullcontext():  # gdown has temporary files of its own
            if target.exists():
                part.unlink(missing_ok=True)
            elif by_http:
                fetch_by_http(entry['url'], part, entry.get('size', LARGEST))
            else:
                fetch_from_drive(entry['url'], part if target.suffix else target)
            if not target.exists():
                verify(part, entry)
                part.replace(target)
    except NotTheFile as error:
        part.unlink()
        raise InputError(f'{error} {by_hand}') from None
    except (OSError, HTTPException) as error:  # urllib and gdown raise these two kinds
        raise InputFileError(f'{entry["file"]} could not be fetched: {error}. {by_hand}') from error
    print(f'Fetched {target}.')
    return target


def fetch_by_http(url: str, part: Path, limit: int = LARGEST) -> None:
    """Fetch a file of at most ``limit`` bytes, or what is missing of it. A connection that breaks is taken up again as
    long as something comes."""
    opener = urllib.request.build_opener(_SafeRedirects(url))
    while True:
        if size_of(part) > limit:  # another file has been fetched under this name
            os.truncate(part, 0)
        have = size_of(part)
        headers = {'User-Agent': 'mmvis', **({'Range': f'bytes={have}-'} if have else {})}
        try:
            with opener.open(urllib.request.Request(url, headers=headers), timeout=60) as answer:
                if answer.status != 206:
                    have = 0
                elif have and not _starts_at(answer, have):  # part of another place: all of it once more
                    os.truncate(part, 0)
                    continue
                length = answer.headers.get('Content-Length') or ''
                total = have + int(length) if length.isdecimal() else None
                if total is not None and total > limit:
                    raise InputFileError(f'the server has {total} bytes for it instead of {limit}')
                copy(answer, part, have, total, limit)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not have:  # 416: there is nothing behind what we have
                raise InputFileError(f'the server answers {error.code} {error.reason}') from error
            os.truncate(part, 0)
            continue
        except urllib.error.URLError as error:
            raise InputFileError(f'the network refuses ({error.reason})') from error
        except (ConnectionError, TimeoutError, HTTPException):
            if size_of(part) <= have:
                raise
            continue
        if total is None or size_of(part) >= total:
            return
        if size_of(part) <= have:
            raise ConnectionError(f'the connection breaks after {have} of {total} bytes')


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """A file that is asked for by https does not come in clear: it could be another one."""

    def __init__(self, url: str) -> None:
        self.scheme = urllib.parse.urlsplit(url).scheme

    def redirect_request(self, request, answer, code, message, headers, url):
        scheme = urllib.parse.urlsplit(url).scheme
        if scheme not in ('https', self.scheme):
            raise InputFileError(f'the server points to an address that is not https ({url.partition("?")[0]})')
        return super().redirect_request(request, answer, code, message, headers, url)


def _starts_at(answer, have: int) -> bool:
    """Whether a part of a file is the one behind the ``have`` bytes that are there."""
    start = re.match(r'bytes (\d+)-', answer.headers.get('Content-Range', ''))
    return start is not None and int(start.group(1)) == have


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    """Make the file, if it is missing, and keep a second download of it away; a killed one leaves no lock.

    What broke off before its first byte is removed.
    """
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, 'O_NOFOLLOW', 0), 0o666)
    with open(descriptor, 'rb') as file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputFileError('another process is fetching it') from None
        except OSError:  # a file system without locks
            pass
        try:
            yield
        except BaseException:
            if not size_of(part):
                part.unlink(missing_ok=True)
            raise


def size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def copy(answer, part: Path, have: int, total: Optional[int], limit: int) -> None:
    """Append an answer to the ``have`` bytes that are there, up to ``limit`` bytes in all."""
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise InputFileError(f'the disk of {part.parent} has {free / 1e6:.0f} MB left and {(total - have) / 1e6:.0f} MB are '
                             'to come')
    with open(part, 'ab' if have else 'wb') as file, tqdm(
            total=total, initial=have, unit='B', unit_scale=True, desc=part.stem, disable=None) as bar:
        while block := answer.read(1 << 20):
            if file.tell() + len(block) > limit:
                raise InputFileError(f'more than {limit} bytes come')
            file.write(block)
            bar.update(len(block))


def fetch_from_drive(url: str, path: Path) -> None:
    """Fetch a file, or a folder with all its files, from Google Drive."""
    try:
        import gdown
    except ImportError:
        raise InputFileError('it lies on Google Drive and gdown is not installed (pip install gdown)') from None
    try:
        if '/folders/' in url:
            done = gdown.download_folder(url=url, output=str(path))
        else:
            done = gdown.download(id=url.split('/d/')[1], output=str(path), resume=True)
    except OSError as error:
        # those of the requests library have no number and the addresses of half the internet in their text
        raise error if error.errno else OSError(f'the network refuses ({type(error).__name__})') from error
    except Exception as error:  # which ones differs from one gdown to the next
        raise InputFileError('Google Drive does not give it: ' + ' '.join(str(error).split()).rstrip('.')) from error
    if not done:
        raise InputFileError('Google Drive does not give it')


def verify(part: Path, entry: Entry) -> None:
    """Whether a fetched file is what the table says.

    Raises:
        NotTheFile: it is a web page, no checkpoint, too short or too long, or has another checksum.
    """
    with open(part, 'rb') as file:
        start = file.read(512)
    if start.lstrip().lower().startswith((b'<!doctype', b'<html')):
        raise NotTheFile(f'A web page came instead of {entry["file"]}: too many may have fetched it today, or it is gone.')
    if not start.startswith(FILE_STARTS):
        raise NotTheFile(f'What came as {entry["file"]} is no checkpoint of PyTorch (it begins with {start[:8]!r}).')
    size = part.stat().st_size
    if size != entry.get('size', size):
        raise NotTheFile(f'What came as {entry["file"]} has {size} bytes instead of {entry["size"]}.')
    for kind in ('sha256', 'md5'):
        if kind in entry:
            digest = hashlib.new(kind)
            with open(part, 'rb') as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            if not digest.hexdigest().startswith(entry[kind]):
                raise NotTheFile(f'What came as {entry["file"]} has the {kind} {digest.hexdigest()[:12]}... instead of '
                                 f'{entry[kind]}...')
