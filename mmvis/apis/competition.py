"""Sending a zip of results to a competition and waiting for its score."""
import time
import urllib.parse
from pathlib import Path
from typing import Callable, Dict, Optional, Sequence, Union

from mmvis.evaluation.submission import check_submission

from .http_session import HttpSession, ServerBusy, UploadError
from .upload_servers import Account, Codabench, CodaLab

PLATFORMS = {'codalab': CodaLab, 'codabench': Codabench}
_FIRST_PAUSE, _LONGEST_PAUSE = 2., 30.
_LOG_LINES = 15
#: What comes of reading an answer that is not built as the servers' are.
_OTHER_FORM = (KeyError, TypeError, ValueError, AttributeError)


def connect(server: str, competition: int, account: Account, platform: Optional[str] = None,
            phase: Optional[int] = None, timeout: float = 60., storage_hosts: Sequence[str] = ()) -> Union[CodaLab, Codabench]:
    """A competition on a server; nothing is asked yet.

    Args:
        server: its address.
        platform: 'codalab' or 'codabench'; by default what the address says.
        phase: of the competition; by default the one that is open.
        timeout: seconds for the server to answer one request.
        storage_hosts: hosts beside the known ones that the server may have the zip sent to.
    """
    session = HttpSession(server, timeout, storage_hosts)
    if platform is None:
        host = urllib.parse.urlsplit(session.server).hostname
        platform = next((name for name in PLATFORMS if name in host), None)
        if platform is None:
            raise UploadError(f'{server}: say whether this is a CodaLab or a Codabench server (--platform).')
    return PLATFORMS[platform](session, competition, account, phase)


def upload(competition: Union[CodaLab, Codabench], zip_path: Union[str, Path], description: str = '') -> int:
    """Send a zip. Returns the number of the submission.

    Raises:
        UploadError, FileNotFoundError, ValueError: nothing was sent, or the sentence says what may have been.
    """
    zip_path = Path(zip_path)
    check_submission(zip_path)
    competition.login()
    try:
        return competition.submit(zip_path, description)
    except ServerBusy as error:
        raise UploadError(f'{error} Look at {competition.page} whether there is a submission before sending it again.'
                          ) from None
    except UploadError:
        raise
    except _OTHER_FORM as error:
        raise _unknown_form(competition, error) from None


def _unknown_form(competition: Union[CodaLab, Codabench], error: Exception) -> UploadError:
    return UploadError(f'{competition.page}: the server answers in a form that is not known here '
                       f'({type(error).__name__}: {error}).')


def wait_for_score(competition: Union[CodaLab, Codabench], submission: int, minutes: float = 60.,
                   report: Callable[[str], None] = print, first_pause: Optional[float] = None) -> Dict[str, str]:
    """Wait until a submission is scored.

    A server that does not answer for a while is asked again until the time is over.

    Args:
        report: told about every change of the state, and the end of the log of a submission that failed.
        first_pause: seconds between the first questions (2); the pauses grow up to half a minute.

    Returns:
        The scores by name, as the server writes them.

    Raises:
        UploadError: the server has rejected the submission (with its reason), or the time is over.
    """
    pause = _FIRST_PAUSE if first_pause is None else first_pause
    give_up, word, trouble = time.monotonic() + 60 * minutes, '', ''
    while True:
        try:
            state = competition.state(submission)
            trouble = ''
            if state.word != word:
                word = state.word
                report(f'submission {submission}: {word}')
            if state.is_failed:
                log = [line.rstrip() for line in state.reason.splitlines() if line.strip()][-_LOG_LINES:]
                for line in log[:-1]:
                    report(f'    {line}')
                raise UploadError(f'{competition.page} rejects submission {submission}: {log[-1] if log else word}')
            if state.is_finished:
                return competition.scores(submission)
        except ServerBusy as error:
            if str(error) != trouble:
                trouble = str(error)
                report(f'{trouble} Trying again.')
        except UploadError:
            raise
        except _OTHER_FORM as error:
            raise _unknown_form(competition, error) from None
        if time.monotonic() + pause > give_up:
            raise UploadError(f'Submission {submission} has no score after {minutes:g} minutes (it is '
                              f'{word or "not to be seen"}). {trouble} It is not lost: --submission {submission} '
                              'waits on.')
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)
