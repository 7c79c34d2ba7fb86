"""Reading a results file entry by entry: a file of many gigabytes costs no more memory than its longest entry."""
import codecs
import json
import os
from typing import IO, Any, Iterator, Optional, Union

from mmvis.errors import InputError, of_user_path
from mmvis.structures.input_file import check_regular_file

#: A token cut at the end of the buffer fails within this many characters of it ('-Infinity', 'false').
_LONGEST_TOKEN = 16
_SPACE = ' \t\n\r'
_BEHIND_NUMBER = tuple(_SPACE + ',]')


class BrokenResults(InputError):
    """A results file is no JSON list; the message names the file, the entry and the place."""


def iterate_results(path: Union[str, os.PathLike], decoder: Optional[json.JSONDecoder] = None,
                    chunk_bytes: int = 1 << 20) -> Iterator[Any]:
    """The items of a JSON list one at a time, as ``json.load`` would give them.

    Args:
        path: file that holds one JSON list.
        decoder: makes the items (default: a plain ``json.JSONDecoder``).
        chunk_bytes: how much is read at once.

    Raises:
        InputMissingError, InputFileError: there is no such file, or it cannot be read.
        BrokenResults: not a JSON list, cut short, or not UTF-8; the sentence names the file and the entry.
    """
    check_regular_file(path, 'a results file')
    with of_user_path(path, 'cannot be read'), open(path, 'rb') as file:
        yield from _Scanner(str(path), file, decoder or json.JSONDecoder(), chunk_bytes).items()


class _Scanner:
    """``text[self.at:]`` is what has been read and not yet been parsed."""

    def __init__(self, path: str, file: IO[bytes], decoder: json.JSONDecoder, chunk_bytes: int) -> None:
        self.path, self.file, self.decoder, self.chunk_bytes = path, file, decoder, chunk_bytes
        self.to_text = codecs.getincrementaldecoder('utf-8')()
        self.text, self.at, self.ended, self.count = '', 0, False, 0

    def items(self) -> Iterator[Any]:
        first = self.next_character()
        if first == '\ufeff':
            raise BrokenResults(f'{self.path}: it starts with a byte order mark, which no JSON reader takes; save it '
                             'as plain UTF-8.')
        if first != '[':
            raise BrokenResults(f'{self.path}: a JSON list of results is expected, but it '
                             f'{"is empty" if not first else f"starts with {first!r}"}.')
        self.at += 1
        closing = self.next_character() == ']'
        while not closing:
            yield self.item()
            self.count += 1
            separator = self.next_character()
            if separator not in (',', ']'):
                raise self.broken(f'a comma or the end of the list is expected behind entry {self.count - 1}')
            self.at += 1
            closing = separator == ']'
            if not closing and self.next_character() == ']':
                raise self.broken('there is a comma behind the last entry')
        if self.count == 0:
            self.at += 1
        if self.next_character():
            raise self.broken('there is more behind the end of the list')

    def item(self) -> Any:
        """Parse the item that starts here; read on, twice as much each time, until it is whole."""
        wanted = self.chunk_bytes
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
                # A number may go on in what has not been read: 12 | .5
                if self.ended or not isinstance(value, (int, float)) or self.text[end:end + 1] in _BEHIND_NUMBER:
                    self.at = end
                    return value
            except json.JSONDecodeError as error:
                cut = 'Unterminated string' in error.msg or error.pos > len(self.text) - _LONGEST_TOKEN
                if self.ended or not cut:
                    raise self.broken(f'entry {self.count}: {error.msg}') from None
            except RecursionError:
                raise self.broken(f'entry {self.count} is nested too deeply') from None
            except ValueError as error:  # an integer of more digits than Python reads
                raise self.broken(f'entry {self.count}: {str(error).split(";")[0]}') from None
            self.read(wanted)
            wanted *= 2

    def next_character(self) -> str:
        """The next character that is not white space, '' at the end of the file; ``self.at`` moves to it."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _SPACE:
                    return self.text[self.at]
                self.at += 1
            if self.ended:
                return ''
            self.read(self.chunk_bytes)

    def read(self, num_bytes: int) -> None:
        data = self.file.read(num_bytes)
        self.ended = not data
        try:
            fresh = self.to_text.decode(data, final=self.ended)
        except UnicodeDecodeError:
            raise self.broken('it is not UTF-8') from None
        self.text, self.at = self.text[self.at:] + fresh, 0

    def broken(self, what: str) -> BrokenResults:
        short = ' (the file is cut short)' if self.ended and self.at >= len(self.text) - _LONGEST_TOKEN else ''
        return BrokenResults(f'{self.path}: not valid JSON: {what}, near byte {self.file.tell()}{short}.')
