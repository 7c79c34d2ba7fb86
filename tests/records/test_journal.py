"""What runs leave behind: killed, started twice, of another description, damaged on the disk."""
import json
import multiprocessing
import os
import re
import resource
import signal
import time

import numpy as np
import pytest
from helpers.toy_results import VIDEOS, make_writer, write_all, write_video

from mmvis.errors import InputError, InputFileError
from mmvis.records import journal, results_file
from mmvis.structures import VideoInfo

fork = multiprocessing.get_context('fork')


@pytest.fixture
def said(monkeypatch):
    """The lines that a run tells."""
    lines = []
    for module in (journal, results_file):
        monkeypatch.setattr(module, 'print_log', lambda text, **kwargs: lines.append(text))
    return lines


def leave(path, *videos, **kwargs):
    """A run that was stopped after some videos."""
    writer = make_writer(path, **kwargs)
    writer.open()
    for video_id in videos:
        write_video(writer, video_id)
    writer.close()


def complete(path, **kwargs):
    """The same command again; returns what it found finished."""
    writer = make_writer(path, **kwargs)
    writer.open()
    finished = writer.finished
    for video_id in VIDEOS:
        if video_id not in finished:
            write_video(writer, video_id)
    writer.join()
    return finished


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_another_run_is_set_aside_and_taken_up_again_by_its_own_command(tmp_path, said):
    expected, path = write_all(tmp_path / 'whole.json'), tmp_path / 'results.json'
    leave(path, 7, 3, run={'checkpoint': 'a.pth', 'classes': [5]})
    leave(path, 'camera', run={'checkpoint': 'b.pth', 'classes': [5]})  # a mistyped option
    assert said == [f'{path}.part.0 was left by another run (differs in: checkpoint): its 2 finished videos are set '
                    f'aside as {path}.aside.1, and the command of that run takes them up again.']
    said.clear()
    assert complete(path, run={'checkpoint': 'a.pth', 'classes': [5]}) == [7, 3]
    assert path.read_bytes() == expected
    assert f'{path}.part.0 was left by another run (differs in: checkpoint): its 1 finished' in said[0]
    assert said[-1] == f'{path}.aside.2: finished videos of other runs into {path}, set aside; remove what is not ' \
                       'wanted any more.'
    assert names(tmp_path) == ['results.json', 'results.json.aside.2', 'whole.json']
    assert complete(path, run={'checkpoint': 'b.pth', 'classes': [5]}) == ['camera']
    assert names(tmp_path) == ['results.json', 'whole.json'] and path.read_bytes() == expected


def test_the_journals_of_all_processes_of_another_run_are_named_in_one_line(tmp_path, said):
    path = tmp_path / 'results.json'
    leave(path, 7)
    os.rename(f'{path}.part.0', f'{path}.part.11')
    leave(path)  # takes number 11 up, and makes one of its own without a video
    (tmp_path / 'results.json.aside.1').mkdir()  # names that something has are passed over
    said.clear()
    leave(path, run={'checkpoint': 'b.pth'})
    assert len(said) == 1 and f'{path}.part.11 was left by another run' in said[0] and '.aside.2' in said[0]
    assert names(tmp_path) == ['results.json.aside.1', 'results.json.aside.2', 'results.json.part.0']


@pytest.mark.parametrize('content, line', [
    (b'', None), (b'{"format": 1, "ru', None), (b'{"format": 2, "run": {}}\n', None),
    (b'{"format": 2, "run": {}}\n{"start": 7, "size": [12, 20]}\n', 'another version of mmvis'),
    (b'{"format": 4, "run": {}}\n{"start": 7, "size": [12, 20]}\n', 'another version of mmvis'),
    (b'\x00\x00\n', 'no journal'), (b'[1, 2]\n{"start": 7}\n', 'no journal'), (b'my notes', 'no journal')])
def test_what_is_no_journal_of_ours_is_set_aside_unless_it_holds_nothing(tmp_path, said, content, line):
    path = tmp_path / 'results.json'
    (tmp_path / 'results.json.part.0').write_bytes(content)
    assert write_all(path) == write_all(tmp_path / 'whole.json')
    if line is None:
        assert not said and names(tmp_path) == ['results.json', 'whole.json']
    else:
        assert line in said[0] and f'set aside as {path}.aside.1' in said[0]
        assert (tmp_path / 'results.json.aside.1').read_bytes() == content


def test_journals_are_the_regular_files_of_exactly_this_name_and_run(tmp_path, said):
    path = tmp_path / 'results.json'
    foreign = ['results.json.part.1a', 'results.json.part.', 'results.json.part.0.bak', 'xresults.json.part.0',
               'results_json.part.0', 'results.json.part.\u0661']
    for name in foreign:
        (tmp_path / name).write_text('mine')
    (tmp_path / 'results.json.part.3').mkdir()
    (tmp_path / 'results.json.part.4').symlink_to(tmp_path / 'xresults.json.part.0')
    os.mkfifo(tmp_path / 'results.json.part.5')
    before = names(tmp_path)
    writer = make_writer(path)
    writer.open()
    for video_id in VIDEOS:
        write_video(writer, video_id)
    other = {'format': journal.FORMAT, 'run': {'checkpoint': 'b.pth'}}  # comes while the run goes on
    (tmp_path / 'results.json.part.77').write_text(json.dumps(other) + '\n')
    writer.join()
    assert path.read_bytes() == write_all(tmp_path / 'whole.json')
    assert names(tmp_path) == sorted([*before, 'results.json', 'results.json.part.77', 'whole.json'])
    assert all((tmp_path / name).read_text() == 'mine' for name in foreign)


@pytest.mark.parametrize('name', ['results.json.part.0', 'results.json.lock'])
def test_a_name_that_the_run_needs_and_that_is_no_regular_file_costs_a_sentence(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=f'{name} is no regular file'):
        make_writer(tmp_path / 'results.json').open()


def test_whatever_byte_is_damaged_the_results_are_the_same(tmp_path, said, monkeypatch):
    monkeypatch.setattr(os, 'fsync', lambda file: None)
    expected, path = write_all(tmp_path / 'whole.json'), tmp_path / 'results.json'
    part = tmp_path / 'results.json.part.0'
    leave(path, *VIDEOS)
    content, rng, again = part.read_bytes(), np.random.default_rng(0), 0
    head = content.index(b'\n') + 1
    for place in rng.permutation(len(content))[:150].tolist():
        for flip in (1, 0x20, content[place] ^ 0x0a or 1):
            spoilt = bytearray(content)
            spoilt[place] ^= flip
            part.write_bytes(spoilt)
            said.clear()
            finished = complete(path)
            assert path.read_bytes() == expected, (place, flip)
            if place >= head:
                assert len(finished) >= 1
                if len(finished) < 3 and place < len(content) - 1:  # but for the torn last line of a killed run
                    assert any('damaged' in line for line in said), (place, flip)
                    again += 1
            for aside in tmp_path.glob('*.aside.*'):
                aside.unlink()
    assert again > 300


def test_a_video_that_is_damaged_while_the_run_goes_on_is_told_at_its_end(tmp_path, said):
    expected, path = write_all(tmp_path / 'whole.json'), tmp_path / 'results.json'
    writer = make_writer(path)
    writer.open()
    for video_id in VIDEOS:
        write_video(writer, video_id)
    part = tmp_path / 'results.json.part.0'
    part.write_bytes(part.read_bytes().replace(b'"labels": [1, 0]', b'"labels": [0, 0]', 1))
    with pytest.raises(InputError, match=r'1 of 3 videos are not finished \(video 7 first\)'):
        writer.join()
    writer.close()
    assert said == [f'{part}: 1 finished videos are damaged (7) and are run again.']
    assert complete(path) == [3, 'camera'] and path.read_bytes() == expected


def test_videos_whose_frames_are_others_now_are_run_again(tmp_path, said):
    frames = dict.fromkeys(VIDEOS, 'old')
    path = tmp_path / 'results.json'
    leave(path, 7, 3, source_of=frames.get)
    frames[7] = 'new'
    expected = write_all(tmp_path / 'whole.json')
    (tmp_path / 'results.json.part.0').rename(tmp_path / 'results.json.part.2')  # the newer piece stands before it
    assert complete(path, source_of=frames.get) == [3]
    assert path.read_bytes() == expected


# Real processes

def run_until_the_others_are_told(path, outcome, begin, told):
    journal._PATIENCE = 0.3
    begin.wait()
    try:
        writer = make_writer(path)
        writer.open()
        try:
            for video_id in VIDEOS:
                write_video(writer, video_id)
            for _ in range(2):
                told.acquire(timeout=60)
            writer.join()
        finally:
            writer.close()
        outcome.put('done')
    except InputError as error:
        told.release()
        outcome.put(str(error))


@pytest.mark.parametrize('attempt', range(3))
def test_of_two_runs_started_together_one_is_told_and_the_other_loses_nothing(tmp_path, attempt):
    pytest.importorskip('fcntl')
    path, outcome, begin, told = tmp_path / 'results.json', fork.Queue(), fork.Barrier(3), fork.Semaphore(0)
    runs = [fork.Process(target=run_until_the_others_are_told, args=(path, outcome, begin, told)) for _ in range(3)]
    for run in runs:
        run.start()
    ends = sorted((outcome.get(timeout=120) for _ in runs), key=len)
    for run in runs:
        run.join()
    assert ends[0] == 'done' and ends[1] == ends[2]
    assert ends[1] == f'{path} is being written by another process: stop it, wait for its end, or choose another ' \
                      'output file.'
    assert path.read_bytes() == write_all(tmp_path / 'whole.json')
    assert names(tmp_path) == ['results.json', 'whole.json']


def test_two_names_of_one_file_have_one_lock(tmp_path, monkeypatch):
    pytest.importorskip('fcntl')
    monkeypatch.setattr('mmvis.records.journal._PATIENCE', 0.)
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'link.json').symlink_to(tmp_path / 'elsewhere' / 'results.json')
    first, second = make_writer(tmp_path / 'link.json'), make_writer(tmp_path / 'elsewhere' / 'results.json')
    first.open()
    with pytest.raises(InputError, match='being written by another process'):
        second.open()
    write_video(first, 7)
    first.close()
    second.open()
    assert second.finished == [7]
    second.close()


def be_killed(path, worker):
    writer = make_writer(path)
    writer.open()
    write_video(writer, 7)
    writer.start(VideoInfo(3, (12, 20), (12, 20), 1.0, 4))
    worker.value = os.fork() or time.sleep(30) or os._exit(0)  # a loader's worker, which outlives its parent
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_outlives_a_killed_run_keeps_nobody_waiting(tmp_path):
    path, worker = tmp_path / 'results.json', fork.Value('i', 0)
    run = fork.Process(target=be_killed, args=(path, worker))
    run.start()
    run.join()
    try:
        assert run.exitcode == -signal.SIGKILL and worker.value > 0
        os.kill(worker.value, 0)
        assert names(tmp_path) == ['results.json.lock', 'results.json.part.0']
        begin = time.monotonic()
        assert complete(path) == [7]
        assert time.monotonic() - begin < 5
    finally:
        os.kill(worker.value, signal.SIGKILL)
    assert path.read_bytes() == write_all(tmp_path / 'whole.json')
    assert names(tmp_path) == ['results.json', 'whole.json']


def run_on_a_small_disk(path, size, outcome):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        complete(path)
    except InputFileError as error:
        outcome.put(str(error))


@pytest.mark.parametrize('where', ['journal', 'results'])
def test_what_was_finished_when_the_disk_was_full_is_kept(tmp_path, where):
    """A limit on the size of files stands for the disk: the second video, or the results file, does not fit."""
    expected, path = write_all(tmp_path / 'whole.json'), tmp_path / 'results.json'
    leave(path, 7)
    size = os.path.getsize(f'{path}.part.0') + 300
    if where == 'results':
        leave(path, 3, 'camera')
        path.write_text('old')
        size = 100
    outcome = fork.Queue()
    run = fork.Process(target=run_on_a_small_disk, args=(path, size, outcome))
    run.start()
    sentence = outcome.get(timeout=120)
    run.join()
    assert where == 'journal' or path.read_text() == 'old'
    assert re.search(rf'File too large\. Finished videos are kept in {path}\.part\.\*', sentence), sentence
    assert complete(path)[:1] == [7] and path.read_bytes() == expected
