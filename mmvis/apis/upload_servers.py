"""The two kinds of server that take results: what their web pages send, sent by a program.

CodaLab: https://github.com/codalab/codalab-competitions (the competitions of YouTube-VIS and OVIS were there);
Codabench, its successor: https://github.com/codalab/codabench.
"""
import html
import io
import re
import urllib.parse
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, TypeVar

from .http_session import Answer, HttpSession, Refused, UploadError

Result = TypeVar('Result')
#: The text of scores in a zip of the server is at most this large, in bytes.
LARGEST_SCORES = 4 << 20


@dataclass(frozen=True)
class Account:
    """Who sends. The password is kept out of every text."""
    user: str
    password: str = field(repr=False)


class State(NamedTuple):
    """How far a submission is. ``word``: what the server calls it; ``reason``: why it failed."""
    word: str
    is_finished: bool
    is_failed: bool
    reason: str = ''


class _Server:
    """What both have in common: an expired session is renewed once."""

    def __init__(self, session: HttpSession, competition: int, account: Account, phase: Optional[int] = None) -> None:
        self.session, self.competition, self.account, self.phase = session, competition, account, phase
        self.page = f'{session.server}/competitions/{competition}'

    def login(self) -> None:
        raise NotImplementedError

    def _logged_in(self, ask: Callable[[], Result]) -> Result:
        """Ask; when the server does not know us (any more), log in and ask again: what is refused has no effect."""
        try:
            return ask()
        except Refused as error:
            if error.status not in (401, 403):
                raise
        self.login()
        return ask()

    def _wrong_login(self) -> UploadError:
        return UploadError(f'{self.session.server} does not accept the password of user {self.account.user!r}.')

    def _choose_phase(self, phases: Dict[int, str], active: List[int]) -> int:
        """The phase that was asked for, or the one that is open."""
        listed = ', '.join(f'{number} ({name})' for number, name in phases.items())
        if self.phase is not None and self.phase not in phases:
            raise UploadError(f'{self.page} has no phase {self.phase}, but {listed}.')
        if self.phase is None and len(active) != 1:
            raise UploadError(f'{self.page} has {len(active)} open phases: choose one with --phase: {listed}.')
        return active[0] if self.phase is None else self.phase


class CodaLab(_Server):
    """A competition on a CodaLab server."""

    def login(self) -> None:
        self.session.cookies.clear()
        page = self.session.get('/accounts/login/')
        token = re.search(r'name=.csrfmiddlewaretoken. value=.([\w-]+)', page.text)
        fields = dict(csrfmiddlewaretoken=token.group(1) if token else self.session.cookie('csrftoken'),
                      login=self.account.user, password=self.account.password)
        answer = self.session.post_form('/accounts/login/', fields,
                                        {'Referer': f'{self.session.server}/accounts/login/'})
        if 'name="password"' in answer.text:  # the form once more
            raise self._wrong_login()

    def submit(self, zip_path: Path, description: str) -> int:
        phase = self._open_phase()
        asked = dict(type='application/zip', name=zip_path.name, dest='submissions')
        fields = self._post('/s3direct/get_upload_params/', asked)
        target = fields.pop('form_action')
        stored = self.session.post_file(target, {**fields, 'success_action_status': 201}, zip_path)
        location = re.search('<Location>(.*?)</Location>', stored.text)
        if not location:
            raise UploadError(f'The storage of {self.session.server} took the file but did not say where it is.')
        query = urllib.parse.urlencode(dict(description=description, phase_id=phase))
        made = dict(id=urllib.parse.unquote(html.unescape(location.group(1))), name=zip_path.name,
                    type='application/zip')
        return int(self._post(f'/api/competition/{self.competition}/submission?{query}', made)['id'])

    def state(self, submission: int) -> State:
        url = f'/api/competition/{self.competition}/submission/{submission}'
        said = self._logged_in(lambda: self._inside(url)).json()
        word = said['status']
        failed = word in ('failed', 'cancelled')
        reason = (said.get('exception_details') or self._log(submission)) if failed else ''
        return State(word, word == 'finished', failed, reason)

    def scores(self, submission: int) -> Dict[str, str]:
        """What the scoring program wrote: ``name: value`` lines of scores.txt."""
        url = f'/my/competition/submission/{submission}/output.zip'
        try:
            with zipfile.ZipFile(io.BytesIO(self._logged_in(lambda: self._inside(url)).body)) as archive:
                found = next(info for info in archive.infolist() if info.filename.split('/')[-1] == 'scores.txt')
                lines = self._unpack(archive, found).decode('utf-8', errors='replace').splitlines()
        except (Refused, zipfile.BadZipFile, StopIteration, zlib.error, EOFError, RuntimeError):
            # a competition may hide its files; what is damaged or encrypted is of no use either
            said = self._logged_in(lambda: self._inside(f'/api/submission/{submission}/get_score')).json()
            return {'score': str(said['score'])}
        return {key.strip(): value.strip() for key, _, value in (line.partition(':') for line in lines) if value}

    def _unpack(self, archive: zipfile.ZipFile, found: zipfile.ZipInfo) -> bytes:
        """A small text of an archive: a few bytes may unpack to all memory of the machine."""
        if found.file_size > LARGEST_SCORES:
            raise UploadError(f'{self.session.server} answers with a {found.filename} of {found.file_size / 1e6:.0f} MB: it is '
                              f'not read. The score is to be seen at {self.page}.')
        if found.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack without a bound
            raise zipfile.BadZipFile(f'{found.filename} is packed by method {found.compress_type}')
        with archive.open(found) as file:
            return file.read(LARGEST_SCORES)

    def _open_phase(self) -> int:
        page = self._logged_in(lambda: self._inside(f'/competitions/{self.competition}')).text
        buttons = re.findall(r'<button class="([^"]*)" id="submissions_phase_(\d+)">([^<]*)', page)
        if not buttons:
            raise UploadError(f'{self.account.user!r} takes no part in the competition {self.page}: open it in a '
                              'browser, accept its terms under "Participate", and wait for the approval.')
        phases = {int(number): html.unescape(name).strip() for _, number, name in buttons}
        phase = self._choose_phase(phases, [int(number) for kind, number, _ in buttons if 'active' in kind.split()])
        page = self._logged_in(lambda: self._inside(f'/competitions/{self.competition}/submissions/{phase}')).text
        for sign in ('is closed', 'has not started'):
            if f'phase of the competition {sign}' in page:
                raise UploadError(f'{self.page}: phase {phase} ({phases[phase]}) {sign}.')
        return phase

    def _inside(self, url: str) -> Answer:
        """GET; a page that leads to the login form counts as refused."""
        answer = self.session.get(url)
        if urllib.parse.urlsplit(answer.url).path.startswith('/accounts/login'):
            raise Refused(f'{self.session.server} asks for a login again and again.', 403, '')
        return answer

    def _post(self, url: str, fields: Dict[str, Any]) -> Any:
        return self._logged_in(lambda: self.session.post_form(url, fields, self._headers())).json()

    def _headers(self) -> Dict[str, str]:
        return {'X-CSRFToken': self.session.cookie('csrftoken') or '', 'X-Requested-With': 'XMLHttpRequest',
                'Referer': self.page}

    def _log(self, submission: int) -> str:
        try:
            return self._inside(f'/my/competition/submission/{submission}/stderr.txt').text
        except UploadError:
            return ''


class Codabench(_Server):
    """A competition on a Codabench server."""
    _token = ''

    def login(self) -> None:
        try:
            said = self.session.post_form('/api/api-token-auth/', dict(username=self.account.user,
                                                                       password=self.account.password)).json()
        except Refused as error:
            raise self._wrong_login() if error.status == 400 else error from None
        self._token = said['token']

    def submit(self, zip_path: Path, description: str) -> int:
        phase = self._open_phase()
        wish = dict(type='submission', competition=self.competition, request_sassy_file_name=zip_path.name,
                    file_name=zip_path.name, file_size=zip_path.stat().st_size)
        place = self._post('/api/datasets/', wish)
        self.session.put_file(place['sassy_url'], zip_path,
                              {'Content-Type': 'application/zip', 'x-ms-blob-type': 'BlockBlob'})
        return int(self._post('/api/submissions/', dict(phase=phase, data=place['key']))['id'])

    def state(self, submission: int) -> State:
        said = self._get(f'/api/submissions/{submission}/')
        word = said['status']
        failed = word in ('Failed', 'Cancelled')
        return State(word, word == 'Finished', failed,
                     (said.get('status_details') or self._log(submission)) if failed else '')

    def scores(self, submission: int) -> Dict[str, str]:
        """The columns of the leaderboard."""
        return {column['column_key']: str(column['score'])
                for column in self._get(f'/api/submissions/{submission}/')['scores']}

    def _open_phase(self) -> int:
        said = self._get(f'/api/competitions/{self.competition}/')
        if said.get('participant_status') not in (None, 'approved'):
            raise UploadError(f'{self.page}: the participation of {self.account.user!r} is '
                              f'{said["participant_status"]}, not approved.')
        phase = self._choose_phase({phase['id']: phase['name'] for phase in said['phases']},
                                   [phase['id'] for phase in said['phases'] if phase.get('status') == 'Current'])
        may = self._get(f'/api/can_make_submission/{phase}/')
        if not may['can']:
            raise UploadError(f'{self.page} takes no submission: {may["reason"]}')
        return phase

    def _get(self, url: str) -> Any:
        return self._logged_in(lambda: self.session.get(url, self._headers())).json()

    def _post(self, url: str, value: Any) -> Any:
        return self._logged_in(lambda: self.session.post_json(url, value, self._headers())).json()

    def _headers(self) -> Dict[str, str]:
        return {'Authorization': f'Token {self._token}', 'Accept': 'application/json'}

    def _log(self, submission: int) -> str:
        try:
            logs = self._get(f'/api/submissions/{submission}/get_details/')['logs']
            return '\n'.join(self.session.get(log['data_file']).text for log in logs if 'stderr' in log['name'])
        except (UploadError, KeyError, TypeError):
            return ''
