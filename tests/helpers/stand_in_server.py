"""A server on this machine that plays a CodaLab and a Codabench competition, with the faults that real ones have."""
import contextlib
import io
import json
import threading
import time
import urllib.parse
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD = 'ann', 'very-secret'
LOGIN_PAGE = """<form class="login" method="POST"><input type='hidden' name='csrfmiddlewaretoken' value='tok123'>
<input name="login"><input name="password" type="password"></form>"""


class StandIn:
    """What the server does; tests change it.

    Attributes:
        states: what the submission is, question by question; the last one stays.
        expire: numbers of the authenticated requests at which the login is found to have expired.
        busy: this many requests for the state are answered with HTTP 503.
        hang: seconds that requests for the state take.
        redirects: path -> address that every request for it is sent to.
        output: bytes of the zip of scores, instead of a sound one.
        cookie_domain: the login's cookie says that it is for this domain.
    """

    def __init__(self):
        self.states = ['submitting', 'running', 'finished']
        self.expire, self.busy, self.hang = set(), 0, 0.
        self.redirects, self.output, self.cookie_domain = {}, None, None
        self.zip_name = 'x.zip'
        self.closed = self.not_in = self.hidden_scores = False
        self.sessions, self.logins, self.authenticated = set(), 0, 0
        self.stored, self.submissions, self.log, self.leaked = None, [], [], []

    def open_session(self):
        self.logins += 1
        name = f'session{self.logins}'
        self.sessions.add(name)
        return name

    def knows(self, name):
        self.authenticated += 1
        if self.authenticated in self.expire:
            self.sessions.clear()
        return name in self.sessions

    def next_state(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def handle_one(self):
        length = int(self.headers.get('Content-Length') or 0)
        self.body = self.rfile.read(length)
        self.path, _, query = self.path.partition('?')
        self.query = dict(urllib.parse.parse_qsl(query))
        self.server.play.log.append((self.command, self.path))
        if self.path in self.server.play.redirects:
            return self.say('', 302, [('Location', self.server.play.redirects[self.path])])
        by_token = self.path == '/api/api-token-auth/' or 'Token' in (self.headers.get('Authorization') or '')
        (self.codabench if by_token else self.codalab)(self.server.play)

    do_GET = do_POST = do_PUT = handle_one

    def say(self, body, status=200, headers=()):
        body = (body if isinstance(body, bytes) else
                body.encode() if isinstance(body, str) else json.dumps(body).encode())
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # a client that gave up
            self.wfile.write(body)

    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode()))

    def session(self):
        cookies = dict(part.strip().partition('=')[::2] for part in (self.headers.get('Cookie') or '').split(';'))
        return cookies.get('sessionid')

    def state(self, play):
        """The state of the submission, or None when the answer has been given."""
        time.sleep(play.hang)
        if play.busy:
            play.busy -= 1
            return self.say('<h1>Bad gateway</h1>', 503)
        return play.next_state()

    def codalab(self, play):
        if self.path == '/accounts/login/':
            return self.codalab_login(play)
        if self.path == '/':
            return self.say('welcome')
        if not play.knows(self.session()):
            if self.path.startswith(('/api/', '/s3direct/')):
                return self.say({'detail': 'Authentication credentials were not provided.'}, 403)
            return self.say('', 302, [('Location', '/accounts/login/?next=x')])
        if self.command == 'POST' and self.headers.get('X-CSRFToken') != 'tok123':
            return self.say({'detail': 'CSRF Failed'}, 403)
        self.codalab_inside(play)

    def codalab_login(self, play):
        if self.command == 'GET':
            return self.say(LOGIN_PAGE, 200, [('Set-Cookie', 'csrftoken=tok123; Path=/')])
        form = self.form()
        assert self.headers.get('Referer') and form['csrfmiddlewaretoken'] == 'tok123'
        if (form['login'], form['password']) != (USER, PASSWORD):
            return self.say(LOGIN_PAGE)
        self.say('', 302, [('Location', '/'), ('Set-Cookie', f'sessionid={play.open_session()}; Path=/; HttpOnly' +
                                                 (f'; Domain={play.cookie_domain}' if play.cookie_domain else ''))])

    def codalab_inside(self, play):
        if self.path == '/competitions/42':
            return self.say('Participate' if play.not_in else
                            '<button class="btn phase-btn-a btn-sm" id="submissions_phase_7">Testing</button>'
                            '<button class="btn active phase-btn-b btn-sm" id="submissions_phase_8">Dev &amp; val'
                            '</button>')
        if self.path.startswith('/competitions/42/submissions/'):
            return self.say('<p>This phase of the competition is closed.</p>' if play.closed else '<form>')
        if self.path == '/s3direct/get_upload_params/':
            assert self.form() == {'type': 'application/zip', 'name': play.zip_name, 'dest': 'submissions'}
            return self.say({'form_action': f'{self.server.storage_url}/bucket?Signature=hidden', 'key': 'k',
                             'policy': 'p'})
        if self.path == '/api/competition/42/submission':
            play.submissions.append((self.query, self.form()))
            return self.say({'id': 99, 'status': 'submitting'}, 201)
        if self.path == '/api/competition/42/submission/99':
            word = self.state(play)
            return word and self.say({'id': 99, 'status': word, 'exception_details': None})
        if self.path == '/my/competition/submission/99/stderr.txt':
            return self.say('Traceback\nFileNotFoundError: input/res/results.json\n')
        if self.path == '/my/competition/submission/99/output.zip' and not play.hidden_scores:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, 'w') as archive:
                archive.writestr('scores.txt', 'mAP: 0.3419\nAR10: 0.375\n')
            return self.say(play.output or packed.getvalue())
        if self.path == '/api/submission/99/get_score':
            return self.say({'score': 0.3419, 'status': 'finished'})
        self.say('Not found', 404)

    def codabench(self, play):
        if self.path == '/api/api-token-auth/':
            form = self.form()
            if (form['username'], form['password']) != (USER, PASSWORD):
                return self.say({'non_field_errors': ['Unable to log in with provided credentials.']}, 400)
            return self.say({'token': play.open_session()})
        if not play.knows(self.headers['Authorization'].partition(' ')[2]):
            return self.say({'detail': 'Invalid token.'}, 401)
        if self.path == '/api/competitions/42/':
            phases = [dict(id=7, name='Testing', status='Next'), dict(id=8, name='Dev', status='Current')]
            return self.say(dict(phases=phases, participant_status='pending' if play.not_in else 'approved'))
        if self.path == '/api/can_make_submission/8/':
            return self.say(dict(can=not play.closed, reason='Reached maximum allowed submissions for today'))
        if self.path == '/api/datasets/':
            assert json.loads(self.body)['file_size'] > 0
            return self.say(dict(key='k1', sassy_url=f'{self.server.storage_url}/put?sig=hidden'), 201)
        if self.path == '/api/submissions/':
            play.submissions.append(json.loads(self.body))
            return self.say(dict(id=99, status='Submitting'), 201)
        if self.path == '/api/submissions/99/':
            word = self.state(play)
            return word and self.say(dict(status=word.capitalize(), status_details=None, scores=[
                dict(column_key='mAP', score='0.3419'), dict(column_key='AR10', score='0.375')]))
        if self.path == '/api/submissions/99/get_details/':
            return self.say(dict(logs=[dict(name='scoring_stderr', data_file=f'{self.server.storage_url}/log')]))
        self.say({'detail': 'Not found.'}, 404)


class _Storage(_Handler):
    """The second machine, where files are put: it must see no token and no session."""

    def handle_one(self):
        self.body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        secrets = ('Authorization', 'X-CSRFToken', 'Cookie')
        self.server.play.leaked += [name for name in secrets if self.headers.get(name)]
        if self.command == 'GET':
            return self.say('Traceback\nFileNotFoundError: input/res/results.json\n')
        self.server.play.stored = self.body
        self.say('<PostResponse><Location>http://s/bucket%2Fkey.zip?a=1&amp;b=2</Location></PostResponse>',
                 201 if self.command == 'POST' else 200)

    do_GET = do_POST = do_PUT = handle_one


@contextlib.contextmanager
def stand_in_server():
    """A running server: ``server.url`` and ``server.play`` (a StandIn)."""
    play = StandIn()
    storage, server = (ThreadingHTTPServer(('127.0.0.1', 0), handler) for handler in (_Storage, _Handler))
    for one in (storage, server):
        one.daemon_threads = True
        one.play = play
        threading.Thread(target=one.serve_forever, kwargs=dict(poll_interval=0.02), daemon=True).start()
    server.storage_url = f'http://localhost:{storage.server_port}'
    server.url = f'http://127.0.0.1:{server.server_port}'
    try:
        yield server
    finally:
        for one in (storage, server):
            one.shutdown()
            one.server_close()
