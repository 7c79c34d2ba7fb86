"""Upload against a stand-in server: login, upload, polling, rejection, time-out, expired session."""
import io
import socket
import struct
import zipfile

import pytest
from helpers.stand_in_server import PASSWORD, USER, stand_in_server

from mmvis.apis import Account, UploadError, connect, http_session, upload, wait_for_score
from mmvis.apis.http_session import HttpSession
from mmvis.errors import InputError

PLATFORMS = ('codalab', 'codabench')
SCORES = {'mAP': '0.3419', 'AR10': '0.375'}


@pytest.fixture
def server():
    with stand_in_server() as running:
        yield running


@pytest.fixture
def zip_path(tmp_path):
    with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as archive:
        archive.writestr('results.json', '[]' * 50000)
    return tmp_path / 'x.zip'


def make(server, platform, password=PASSWORD, **kwargs):
    return connect(server.url, 42, Account(USER, password), platform, **kwargs)


def wait(competition, **kwargs):
    told = []
    return wait_for_score(competition, 99, report=told.append, first_pause=0.01, **kwargs), told


@pytest.mark.parametrize('platform', PLATFORMS)
def test_zip_is_sent_and_the_score_comes_back(server, zip_path, platform):
    competition = make(server, platform)
    assert upload(competition, zip_path, 'R50, epoch 12') == 99
    assert zip_path.read_bytes() in server.play.stored and not server.play.leaked
    scores, told = wait(competition)
    assert scores == SCORES and [text.split()[-1].lower() for text in told] == ['submitting', 'running', 'finished']
    assert server.play.logins == 1 and len(server.play.submissions) == 1
    if platform == 'codalab':
        query, form = server.play.submissions[0]
        assert query == {'description': 'R50, epoch 12', 'phase_id': '8'}
        assert form['id'] == 'http://s/bucket/key.zip?a=1&b=2'
        assert b'name="policy"\r\n\r\np\r\n' in server.play.stored and b'form_action' not in server.play.stored
    else:
        assert server.play.submissions == [{'phase': 8, 'data': 'k1'}] and server.play.stored == zip_path.read_bytes()


@pytest.mark.parametrize('platform', PLATFORMS)
def test_wrong_password_is_told_without_the_password(server, zip_path, platform):
    with pytest.raises(UploadError, match="does not accept the password of user 'ann'") as error:
        upload(make(server, platform, password='wrong-one'), zip_path)
    assert 'wrong-one' not in str(error.value) + repr(Account(USER, 'wrong-one')) and server.play.stored is None


@pytest.mark.parametrize('platform', PLATFORMS)
def test_closed_competitions_and_strangers_are_told_before_the_upload(server, zip_path, platform):
    server.play.closed = True
    with pytest.raises(UploadError, match='is closed' if platform == 'codalab' else 'maximum allowed'):
        upload(make(server, platform), zip_path)
    server.play.closed, server.play.not_in = False, True
    with pytest.raises(UploadError, match='takes no part|is pending'):
        upload(make(server, platform), zip_path)
    server.play.not_in = False
    with pytest.raises(UploadError, match='no phase 5, but 7 .Testing., 8 .Dev'):
        upload(make(server, platform, phase=5), zip_path)
    assert server.play.stored is None and not server.play.submissions


@pytest.mark.parametrize('platform', PLATFORMS)
def test_rejection_gives_the_end_of_the_servers_log(server, platform):
    server.play.states = ['running', 'failed']
    competition = make(server, platform)
    competition.login()
    told = []
    with pytest.raises(UploadError, match='rejects submission 99: FileNotFoundError: input/res/results.json'):
        wait_for_score(competition, 99, report=told.append, first_pause=0.01)
    assert told[-1].strip() == 'Traceback'


@pytest.mark.parametrize('platform', PLATFORMS)
@pytest.mark.parametrize('when', range(1, 8))
def test_a_session_that_ends_anywhere_is_opened_again_and_nothing_is_sent_twice(server, zip_path, platform, when):
    server.play.expire = {when}
    competition = make(server, platform)
    upload(competition, zip_path)
    assert wait(competition)[0] == SCORES
    assert server.play.logins == 2 and len(server.play.submissions) == 1


def test_a_session_that_never_holds_is_given_up(server, zip_path):
    server.play.expire = set(range(1, 100))
    for platform in PLATFORMS:
        with pytest.raises(UploadError, match='login again and again|refused .HTTP 401'):
            upload(make(server, platform), zip_path)


@pytest.mark.parametrize('platform', PLATFORMS)
def test_a_busy_server_is_asked_again(server, platform):
    server.play.busy = 3
    competition = make(server, platform)
    competition.login()
    scores, told = wait(competition)
    assert scores == SCORES and sum('HTTP 503' in text for text in told) == 1


@pytest.mark.parametrize('platform', PLATFORMS)
def test_the_wait_ends_and_says_how_to_go_on(server, platform):
    server.play.states = ['running']
    competition = make(server, platform)
    competition.login()
    with pytest.raises(UploadError, match=r'no score after 0.005 minutes \(it is [Rr]unning\).*--submission 99'):
        wait(competition, minutes=0.005)


def test_a_server_that_hangs_is_left(server):
    server.play.hang = 5
    competition = make(server, 'codalab', timeout=0.1)
    competition.login()
    with pytest.raises(UploadError, match='not to be seen.*did not answer within 0.1 s'):
        wait(competition, minutes=0.004)


def test_no_server_there(zip_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    with pytest.raises(UploadError, match=f'127.0.0.1:{port}/accounts/login/ cannot be reached'):
        upload(connect(f'http://127.0.0.1:{port}', 42, Account(USER, PASSWORD), 'codalab'), zip_path)


def test_hidden_files_leave_the_headline_score(server):
    server.play.hidden_scores, server.play.states = True, ['finished']
    competition = make(server, 'codalab')
    competition.login()
    assert wait(competition)[0] == {'score': '0.3419'}


def test_no_password_over_plain_http_and_no_guess_of_the_platform():
    with pytest.raises(UploadError, match='https:// addresses only'):
        connect('http://example.org', 1, Account('a', 'b'))
    with pytest.raises(UploadError, match='CodaLab or a Codabench'):
        connect('example.org', 1, Account('a', 'b'))
    assert connect('www.codabench.org', 7, Account('a', 'b')).page == 'https://www.codabench.org/competitions/7'


def packed(size, compression=zipfile.ZIP_DEFLATED, name='scores.txt'):
    """A zip with a text of zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', compression) as archive, archive.open(name, 'w', force_zip64=True) as text:
        for start in range(0, size, 1 << 20):
            text.write(bytes(min(1 << 20, size - start)))
    return file.getvalue()


def test_a_zip_that_unpacks_to_much_is_refused(server):
    server.play.states, server.play.output = ['finished'], packed(50 << 20)
    assert len(server.play.output) < 100_000
    competition = make(server, 'codalab')
    competition.login()
    with pytest.raises(UploadError, match=r'a scores.txt of 52 MB: it is not read. The score is to be seen at http'):
        wait(competition)


@pytest.mark.parametrize('spoil', ['lzma', 'damaged', 'encrypted', 'too short', 'no zip'])
def test_a_zip_that_cannot_be_read_costs_the_scores_of_the_file_alone(server, spoil):
    content = packed(5000, zipfile.ZIP_LZMA if spoil == 'lzma' else zipfile.ZIP_DEFLATED)
    place = content.index(b'PK\x01\x02')                                       # the entry in the table at the end
    if spoil == 'damaged':
        content = content[:62] + bytes(8) + content[70:]
    elif spoil == 'encrypted':
        content = content[:place + 8] + b'\x01' + content[place + 9:]
    elif spoil == 'too short':                                                  # 5000 bytes come, 100 are declared
        content = content[:place + 24] + struct.pack('<I', 100) + content[place + 28:]
    elif spoil == 'no zip':
        content = b'<html>'
    server.play.states, server.play.output = ['finished'], content
    competition = make(server, 'codalab')
    competition.login()
    assert wait(competition)[0] == {'score': '0.3419'}


def test_an_answer_without_end_is_not_read(server, monkeypatch):
    monkeypatch.setattr(http_session, 'LARGEST_ANSWER', 1 << 20)
    server.play.states, server.play.output = ['finished'], bytes(3 << 20)
    competition = make(server, 'codalab')
    competition.login()
    with pytest.raises(UploadError, match='output.zip answers with more than 1 MB: it is not read'):
        wait(competition)


@pytest.mark.parametrize('target', ['http://example.org/x', 'ftp://127.0.0.1/x', 'http://127.0.0.1.example.org/x'])
@pytest.mark.parametrize('path', ['/accounts/login/', '/', '/competitions/42', '/s3direct/get_upload_params/'])
def test_a_redirect_in_clear_is_refused(server, zip_path, path, target):
    server.play.redirects = {path: target}
    with pytest.raises(UploadError, match=f'points to {target}: nothing is sent to an address that is not https'):
        upload(make(server, 'codalab'), zip_path)
    assert server.play.stored is None


@pytest.mark.parametrize('domain', [None, '127.0.0.1', '.0.0.1'])
def test_cookies_go_to_the_server_alone(server, domain):
    server.play.cookie_domain = domain
    competition = make(server, 'codalab')
    competition.login()
    server.play.redirects = {'/elsewhere': server.storage_url.replace('localhost', '127.0.0.1') + '/log'}
    assert 'Traceback' in competition.session.get('/elsewhere').text and not server.play.leaked
    assert 'Traceback' in competition.session.get(server.play.redirects['/elsewhere']).text and not server.play.leaked


@pytest.mark.parametrize('platform', PLATFORMS)
@pytest.mark.parametrize('storage, sentence', [
    ('http://example.org', 'nothing is sent to an address that is not https'),
    ('http://169.254.169.254', 'nothing is sent to an address that is not https'),
    ('https://example.org', 'to be sent to example.org, which is neither of its site nor a storage.*--storage-host'),
    ('file:///etc', 'is not the address of a server .it names no host'),
    ('http://[::1', 'is not the address of a server .Invalid IPv6')])
def test_a_zip_goes_to_no_place_that_is_not_known(server, zip_path, platform, storage, sentence):
    server.storage_url = storage
    with pytest.raises(UploadError, match=sentence) as error:
        upload(make(server, platform), zip_path)
    assert 'hidden' not in str(error.value) and not server.play.submissions


@pytest.mark.parametrize('server_name, storage, is_known', [
    ('www.codabench.org', 'https://www.codabench.org/put', True),
    ('www.codabench.org', 'https://minio.codabench.org/put', True),
    ('www.codabench.org', 'https://miniodis-rproxy.lisn.upsaclay.fr/put', True),
    ('codalab.lisn.upsaclay.fr', 'https://store.lisn.upsaclay.fr/put', True),
    ('www.codabench.org', 'https://bucket.s3.eu-west-1.amazonaws.com/put', True),
    ('www.codabench.org', 'https://storage.example.net/put', True),
    ('www.codabench.org', 'http://www.codabench.org/put', False),
    ('www.codabench.org', 'http://localhost/put', False),
    ('www.codabench.org', 'https://localhost/put', False),
    ('www.codabench.org', 'https://codabench.org.evil.net/put', False),
    ('www.codabench.org', 'https://evilcodabench.org/put', False),
    ('www.codabench.org', 'https://evilamazonaws.com/put', False),
    ('www.codabench.org', 'https://www.codabench.org@evil.net/put', False),
    ('challenge.co.uk', 'https://evil.co.uk/put', False),
    ('codabench.org', 'https://evil.org/put', False)])
def test_storage_that_is_known(zip_path, monkeypatch, server_name, storage, is_known):
    session, sent = HttpSession(server_name, storage_hosts=['storage.example.net']), []
    monkeypatch.setattr(session, '_send', lambda method, url, *args: sent.append(url))
    for send in (session.put_file, session.post_file):
        try:
            send(storage, {}, zip_path) if send == session.post_file else send(storage, zip_path, {})
        except UploadError:
            assert not is_known
    assert sent == [storage] * (2 * is_known)


def test_an_answer_of_another_form_is_told(server, zip_path, monkeypatch):
    competition = make(server, 'codalab')
    monkeypatch.setattr(competition, '_post', lambda url, fields: {'form_action': server.storage_url, 'id': 'no number'})
    with pytest.raises(UploadError, match='answers in a form that is not known here .ValueError'):
        upload(competition, zip_path)
    assert issubclass(UploadError, InputError)  # told in one sentence by the tools
