"""A small HTTP session on the standard library: cookies, time-outs, uploads from disk, errors as one sentence."""
import contextlib
import http.client
import http.cookiejar
import io
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, NoReturn, Optional, Sequence, Union

from mmvis.errors import InputError

_LOOPBACK = ('localhost', '127.0.0.1', '::1')
#: An answer is at most this large, in bytes: a page, a JSON text or a zip of scores and logs.
LARGEST_ANSWER = 64 << 20
#: Places beside the server's own site that competitions keep their files at: these hosts, and all below them.
STORAGE_HOSTS = ('amazonaws.com', 'storage.googleapis.com', 'blob.core.windows.net', 'miniodis-rproxy.lisn.upsaclay.fr')


class UploadError(InputError):
    """A sentence for the user. It never holds a password, a token, or the query of an address."""


class ServerBusy(UploadError):
    """The server did not answer, or said that it cannot now: asking again later may help."""


class Refused(UploadError):
    """The server answered with an error. ``status``: the HTTP code; ``answer``: the beginning of what it said."""

    def __init__(self, sentence: str, status: int, answer: str) -> None:
        super().__init__(sentence)
        self.status, self.answer = status, answer


class Answer:
    """Body of an answer, the address it came from in the end, and its HTTP code."""

    def __init__(self, body: bytes, url: str, status: int) -> None:
        self.body, self.url, self.status = body, url, status

    @property
    def text(self) -> str:
        return self.body.decode('utf-8', errors='replace')

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refused(f'{_name(self.url)} answered with a page instead of data.', self.status, self.text) from None


class HttpSession:
    """Requests to one server and to the storage that it points to.

    Nothing goes to an address that is not https, also not where the server redirects to (only a server on this machine
    may have http addresses, of this machine). Cookies go to the server alone, files to it and to storage that is known.

    Args:
        server: address of the server; https, or http on this machine.
        timeout: seconds for the server to answer one request.
        storage_hosts: hosts that files may be sent to, beside those of the server's site and ``STORAGE_HOSTS``.
    """

    def __init__(self, server: str, timeout: float = 60., storage_hosts: Sequence[str] = ()) -> None:
        parts = _split(server if '://' in server else f'https://{server}')
        if parts.scheme != 'https' and not (parts.scheme == 'http' and parts.hostname in _LOOPBACK):
            raise UploadError(f'{server}: a password is sent to https:// addresses only.')
        self.server = f'{parts.scheme}://{parts.netloc}'
        self.host = parts.hostname
        self.timeout = timeout
        self.storage_hosts = (*STORAGE_HOSTS, *storage_hosts)
        self.cookies = http.cookiejar.CookieJar(_CookiesOfServer(parts.netloc))
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies),
                                                   _SafeRedirects(self))

    def cookie(self, name: str) -> Optional[str]:
        return next((cookie.value for cookie in self.cookies if cookie.name == name), None)

    def get(self, url: str, headers: Optional[Mapping[str, str]] = None) -> Answer:
        return self._send('GET', url, headers)

    def post_form(self, url: str, fields: Mapping[str, Any], headers: Optional[Mapping[str, str]] = None) -> Answer:
        data = urllib.parse.urlencode({key: '' if value is None else value for key, value in fields.items()}).encode()
        return self._send('POST', url, {'Content-Type': 'application/x-www-form-urlencoded', **(headers or {})}, data)

    def post_json(self, url: str, value: Any, headers: Optional[Mapping[str, str]] = None) -> Answer:
        data = json.dumps(value).encode()
        return self._send('POST', url, {'Content-Type': 'application/json', **(headers or {})}, data)

    def put_file(self, url: str, path: Path, headers: Mapping[str, str]) -> Answer:
        self._check_storage(url)
        with open(path, 'rb') as file:
            return self._send('PUT', url, {**headers, 'Content-Length': str(os.path.getsize(path))}, file)

    def post_file(self, url: str, fields: Mapping[str, Any], path: Path) -> Answer:
        """A form with a file at its end (multipart/form-data), read from disk as it is sent."""
        self._check_storage(url)
        boundary = f'----mmvis{os.urandom(16).hex()}'
        parts = ''.join(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                        for name, value in fields.items())
        head = (f'{parts}--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
                'Content-Type: application/zip\r\n\r\n').encode()
        tail = f'\r\n--{boundary}--\r\n'.encode()
        headers = {'Content-Type': f'multipart/form-data; boundary={boundary}',
                   'Content-Length': str(len(head) + os.path.getsize(path) + len(tail))}
        return self._send('POST', url, headers, _pieces(head, path, tail))

    def _whole(self, url: str) -> str:
        """The address behind one that may be a path on the server."""
        try:
            return urllib.parse.urljoin(self.server, url)
        except ValueError as error:
            _no_address(url, error)

    def check_address(self, url: str) -> None:
        """Refuse an address that cannot be trusted with a request."""
        parts = _split(url)
        on_this_machine = self.host in _LOOPBACK and parts.hostname in _LOOPBACK
        if parts.scheme != 'https' and not (parts.scheme == 'http' and on_this_machine):
            raise UploadError(f'{self.server} points to {parts.scheme}://{_name(url)}: nothing is sent to an address that is '
                              'not https.')

    def _check_storage(self, url: str) -> None:
        """Refuse a place for a file that is neither the server's nor storage that is known."""
        url = self._whole(url)
        self.check_address(url)
        host = _split(url).hostname
        allowed = _LOOPBACK if self.host in _LOOPBACK else (self.host, *_site(self.host), *self.storage_hosts)
        if not any(host == known or host.endswith(f'.{known}') for known in allowed):
            raise UploadError(f'{self.server} wants the file to be sent to {host}, which is neither of its site nor a storage '
                              f'that is known; if you trust that host: --storage-host {host}.')

    def _read(self, answer, where: str) -> bytes:
        body = answer.read(LARGEST_ANSWER + 1)
        if len(body) > LARGEST_ANSWER:
            raise UploadError(f'{where} answers with more than {LARGEST_ANSWER >> 20} MB: it is not read.')
        return body

    def _send(self, method: str, url: str, headers: Optional[Mapping[str, str]] = None,
              data: Union[None, bytes, io.BufferedReader, Iterator[bytes]] = None) -> Answer:
        url = self._whole(url)
        self.check_address(url)
        request = urllib.request.Request(url, data, method=method)
        request.add_header('User-Agent', 'mmvis')
        for name, value in (headers or {}).items():
            # Not sent on when the server points elsewhere: a token must not follow to a foreign machine.
            request.add_unredirected_header(name, value)
        where = _name(request.full_url)
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                return Answer(self._read(answer, where), answer.url, answer.status)
        except urllib.error.HTTPError as error:
            text = ''
            with error, contextlib.suppress(OSError, http.client.HTTPException):
                text = error.read(20000).decode('utf-8', errors='replace')
            if error.code == 429 or error.code >= 500:
                raise ServerBusy(f'{where} cannot answer now (HTTP {error.code}).') from None
            raise Refused(f'{where} refused (HTTP {error.code}){_detail(text)}', error.code, text) from None
        except TimeoutError:
            raise ServerBusy(f'{where} did not answer within {self.timeout:g} s.') from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise ServerBusy(f'{where} did not answer within {self.timeout:g} s.') from None
            raise ServerBusy(f'{where} cannot be reached ({error.reason}).') from None
        except (OSError, http.client.HTTPException) as error:
            raise ServerBusy(f'The connection to {where} broke ({type(error).__name__}).') from None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect to an address that would not be asked directly."""

    def __init__(self, session: HttpSession) -> None:
        self.session = session

    def redirect_request(self, request, answer, code, message, headers, url):
        self.session.check_address(url)
        return super().redirect_request(request, answer, code, message, headers, url)


class _CookiesOfServer(http.cookiejar.DefaultCookiePolicy):
    """Cookies come from one host and port and go nowhere else, whatever domain they name."""

    def __init__(self, netloc: str) -> None:
        super().__init__()
        self.netloc = netloc

    def set_ok(self, cookie, request) -> bool:
        return request.host == self.netloc and super().set_ok(cookie, request)

    def return_ok(self, cookie, request) -> bool:
        return request.host == self.netloc and super().return_ok(cookie, request)


def _split(url: str) -> urllib.parse.SplitResult:
    """The parts of an address; one sentence for what is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # it is looked at, and refused, only now
    except ValueError as error:
        _no_address(url, error)
    if not parts.hostname:
        _no_address(url, 'it names no host')
    return parts


def _no_address(url: str, reason: Any) -> NoReturn:
    raise UploadError(f'{url.partition("?")[0]!r} is not the address of a server ({reason}).') from None


def _site(host: str) -> Sequence[str]:
    """The domain above a host, where it belongs to one owner: www.codabench.org -> codabench.org, but not co.uk."""
    labels = host.split('.')[1:]
    is_suffix = len(labels) < 2 or (len(labels) == 2 and len(labels[0]) <= 3) or labels[-1].isdigit()
    return () if is_suffix else ('.'.join(labels),)


def _pieces(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with open(path, 'rb') as file:
        while piece := file.read(1 << 16):
            yield piece
    yield tail


def _name(url: str) -> str:
    """An address without user, password and query: the query of a storage address is as good as a password."""
    parts = urllib.parse.urlsplit(url)
    port = f':{parts.port}' if parts.port else ''
    return f'{parts.hostname}{port}{parts.path}'


def _detail(text: str) -> str:
    """The reason in an answer of a REST interface: {"detail": ...} or {field: [reasons]}."""
    try:
        said: Dict[str, Any] = json.loads(text)
        reason = said.get('detail') or '; '.join(f'{key}: {value if isinstance(value, str) else " ".join(value)}'
                                                 for key, value in said.items())
    except (ValueError, AttributeError, TypeError):
        return '.'
    return f': {" ".join(str(reason).split())[:300]}'
