"""The values of ``--cfg-options KEY=VALUE``, read by the type that the key has."""
import argparse
import re
from typing import Any, Callable, List, Optional

#: What looks like a dict.
_DICT = re.compile(r'\w*\(.*\)|\{.*\}', re.DOTALL)


class OptionText(str):
    """The text of a value as it stands on the command line."""


class CfgOptions(argparse.Action):
    """argparse action of ``--cfg-options key=value ...``: dotted key -> :class:`OptionText`."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: List[str],
                 option_string: Optional[str] = None) -> None:
        options = dict(getattr(namespace, self.dest, None) or {})
        for item in values:
            key, equals, text = item.partition('=')
            if not equals or not key.strip():
                parser.error(f'{option_string}: {item!r} is not of the form key=value.')
            options[key.strip()] = OptionText(text)
        setattr(namespace, self.dest, options)


def read_value(text: str, before: Any = None, kind: Optional[str] = None) -> Any:
    """The value that a text stands for.

    A key that holds a text keeps one, whatever it looks like ("my data", "a,b", "2021", "1e5", "C:\\new"); ``None``
    takes the text away, and quotes around a value are left out. A list of texts gets texts. Everything else is a
    number, true or false, None, a word, or a list ([1,2], 1,2) or tuple ((1,2)) of these.

    Args:
        text: of the command line.
        before: what stands under the key now.
        kind: 'text' or 'texts', if it is known that the key takes them.

    Raises:
        ValueError: the text is no value, or not one for this key; the message says what is expected.
    """
    if isinstance(before, str):
        kind = 'text'
    elif isinstance(before, (list, tuple)) and before and all(isinstance(item, str) for item in before):
        kind = 'texts'
    if text.strip() == 'None':
        return None
    if isinstance(before, bool):
        return _read_bool(text, kind == 'text')
    if kind == 'text':
        return _unquoted(text)
    if kind == 'texts':
        value = _read(text, _unquoted)
        return value if isinstance(value, (list, tuple)) else [value]
    if isinstance(before, (int, float)):
        value = _read(_unquoted(text), _scalar)
        if isinstance(value, (str, bool)):
            raise ValueError(f'a number is expected, such as the {before!r} of the config')
        return value
    return _read(text, _scalar)


def _read_bool(text: str, or_text: bool) -> Any:
    words = {'true': True, '1': True, 'false': False, '0': False}
    word = _unquoted(text).strip().lower()
    if word not in words and not or_text:
        raise ValueError('True or False is expected')
    return words.get(word, _unquoted(text))


def _scalar(text: str) -> Any:
    stripped = text.strip()
    if _unquoted(stripped) != stripped:
        return _unquoted(stripped)
    for number in (int, float):
        try:
            return number(stripped)
        except ValueError:
            pass
    if stripped.lower() in ('true', 'false'):
        return stripped.lower() == 'true'
    if stripped == 'None':
        return None
    if _DICT.fullmatch(stripped):
        raise ValueError('a value is a number, a word, or a list of such ([1,2] or (1,2)); the keys of a dict are '
                         'changed one by one, as in model.depth=50')
    return stripped


def _unquoted(text: str) -> str:
    return str(text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in '\'"' else text)


def _read(text: str, scalar: Callable[[str], Any]) -> Any:
    """A scalar, or a list or tuple of such to any depth."""
    stripped = text.strip()
    for opening, closing, make in (('(', ')', tuple), ('[', ']', list)):
        if stripped.startswith(opening):
            if not stripped.endswith(closing):
                raise ValueError(f'{opening} is not closed')
            return make(_read(part, scalar) for part in _split(stripped[1:-1]))
    parts = _split(stripped)
    if len(parts) > 1:
        return [_read(part, scalar) for part in parts]
    return scalar(stripped)


def _split(text: str) -> List[str]:
    """Parts between the commas that stand in no bracket and no quotes; a comma at the end gives no part."""
    parts, depth, quote, first = [], [], None, 0
    for index, char in enumerate(text):
        if quote:
            quote = None if char == quote else quote
        elif char in '\'"' and not text[first:index].strip():
            quote = char
        elif char in '([{':
            depth.append(char)
        elif char in ')]}':
            if not depth or depth.pop() + char not in ('()', '[]', '{}'):
                raise ValueError(f'{char} closes nothing')
        elif char == ',' and not depth:
            parts.append(text[first:index])
            first = index + 1
    if depth or quote:
        raise ValueError(f'{depth[-1] if depth else quote} is not closed')
    rest = text[first:]
    return [*parts, rest] if rest.strip() or (not parts and text.strip()) else parts
