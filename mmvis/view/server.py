"""The server of the page: Starlette on uvicorn. Everybody on this machine may ask at 127.0.0.1; at another address one
needs the token that is printed."""
import ipaddress
import secrets
import socket
import threading
import webbrowser
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Callable, Dict, Optional
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mmvis.errors import InputError, InputMissingError, of_user_path

from . import STATIC, answers
from .session import Session

_MEDIA = {'.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.svg': 'image/svg+xml'}
#: Nothing comes from another host, nothing runs that stands in the page itself, no other page may hold this one.
HEADERS = {
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer', 'Cross-Origin-Resource-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin'}

_NOTHING = HTTPException(404, 'There is nothing at this address.')


class Guard:
    """Lets requests through that may ask, and puts ``HEADERS`` on every answer.

    Without a token a request must name this machine as its host: a page of another site whose name has been turned to
    127.0.0.1 (DNS rebinding) names its own. With a token, it stands in the address first and in a cookie then.
    """

    def __init__(self, app: Any, host: str, token: Optional[str]) -> None:
        self.app, self.token = app, token
        self.hosts = {'127.0.0.1', 'localhost', '::1', host.lower()}

    async def __call__(self, scope: Dict, receive: Callable, send: Callable) -> None:
        if scope['type'] != 'http':
            return await self.app(scope, receive, send)
        headers = {name.lower(): value.decode('latin-1') for name, value in scope['headers']}
        extra = {name.lower().encode(): value.encode() for name, value in HEADERS.items()}
        refusal = self._refusal(headers) if self.token is None else self._check_token(scope, headers, extra)

        async def send_with_headers(message: Dict) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message['headers'], *extra.items()]
            await send(message)

        await (refusal or self.app)(scope, receive, send_with_headers)

    def _refusal(self, headers: Dict[bytes, str]) -> Optional[Response]:
        if _name_of_host(headers.get(b'host', '')) in self.hosts:
            return None
        return PlainTextResponse('This server answers to its own address alone.\n', 403)

    def _check_token(self, scope: Dict, headers: Dict[bytes, str], extra: Dict[bytes, bytes]) -> Optional[Response]:
        cookie = f'mmvis-view-{scope["server"][1]}'
        given = parse_qs(scope['query_string'].decode('latin-1')).get('token', [''])[0]
        if self._is_token(given):
            extra[b'set-cookie'] = f'{cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/'.encode()
            return None
        try:
            kept = SimpleCookie(headers.get(b'cookie', '')).get(cookie)
        except Exception:  # of another program, and none
            kept = None
        if kept is not None and self._is_token(kept.value):
            return None
        return PlainTextResponse('This page asks for a token: open the whole address that mmvis view has printed.\n', 401)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode('utf-8', 'replace'), self.token.encode())


def _name_of_host(header: str) -> str:
    """The host of a Host header, without its port and brackets."""
    if header.startswith('['):
        return header[1:].split(']')[0].lower()
    return header.rsplit(':', 1)[0].lower() if ':' in header else header.lower()


def make_app(session: Session) -> Starlette:
    """The routes; each answers GET alone."""
    routes = [
        Route('/', _static), Route('/static/{name}', _static), Route('/api/list', _list),
        Route('/api/video/{number:int}', _with(session, lambda n: JSONResponse(answers.of_video(session, n)))),
        Route('/api/masks/{number:int}/{block:int}', _masks), Route('/api/frame/{number:int}/{frame:int}', _frame),
        Route('/api/thumb/{number:int}', _with(session, lambda n: _picture(
            session.pictures.thumbnail_of(session.videos[n]), 'image/jpeg'))),
        Route('/api/compare/{first:int}/{second:int}/{thresh:float}', _compare)]
    app = Starlette(routes=routes, exception_handlers={InputError: _sentence, HTTPException: _refused})
    app.state.session = session
    return app


def _with(session: Session, answer: Callable[[int], Response]) -> Callable:
    """An endpoint for the video with a number; as no coroutine, so that it runs in a thread."""
    def endpoint(request: Request) -> Response:
        return answer(_number(session, request))
    return endpoint


def _number(session: Session, request: Request) -> int:
    number = request.path_params['number']
    if number >= len(session.videos):
        raise _NOTHING
    return number


def _list(request: Request) -> Response:
    session = request.app.state.session
    if request.query_params.get('version') == str(session.version):
        return Response(status_code=204)
    return JSONResponse(answers.of_list(session))


def _masks(request: Request) -> Response:
    session = request.app.state.session
    return JSONResponse(answers.of_masks(session, _number(session, request), request.path_params['block']))


def _frame(request: Request) -> Response:
    session = request.app.state.session
    number, frame = _number(session, request), request.path_params['frame']
    if frame >= session.videos[number].num_frames:
        raise _NOTHING
    return _picture(*session.pictures.frame(session.videos[number], frame))


def _picture(data: bytes, media: str) -> Response:
    return Response(data, media_type=media, headers={'Cache-Control': 'private, max-age=600'})


def _compare(request: Request) -> Response:
    session, (first, second, thresh) = request.app.state.session, request.path_params.values()
    if max(first, second) >= len(session.results):
        raise _NOTHING
    return JSONResponse(answers.of_comparison(session, first, second, thresh))


def _static(request: Request) -> Response:
    name = request.path_params.get('name', 'index.html')
    if name not in {path.name for path in STATIC.iterdir()}:
        raise _NOTHING
    return FileResponse(STATIC / name, media_type=_MEDIA[Path(name).suffix], headers={'Cache-Control': 'no-cache'})


def _sentence(request: Request, error: Exception) -> Response:
    return JSONResponse({'error': str(error)}, 404 if isinstance(error, InputMissingError) else 422)


def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({'error': error.detail}, error.status_code)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(session: Session, host: str, port: int, open_browser: bool) -> None:
    """Serve until Ctrl-C; prints the address.

    Raises:
        InputError: the address cannot be had.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with of_user_path(f'--host {host} --port {port}', 'cannot be listened at'):
        listener.bind((host, port))
        listener.listen(128)
    token = None if is_loopback(host) else secrets.token_urlsafe(18)
    name = socket.gethostname() if host in ('0.0.0.0', '::') else f'[{host}]' if ':' in host else host
    address = f'http://{name}:{listener.getsockname()[1]}/' + (f'?token={token}' if token else '')
    print(f'mmvis view: {address} (Ctrl-C ends it)', flush=True)
    session.start()
    if open_browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    app = Guard(make_app(session), host, token)
    uvicorn.Server(uvicorn.Config(app, log_level='error', access_log=False, lifespan='off', server_header=False)).run([listener])
