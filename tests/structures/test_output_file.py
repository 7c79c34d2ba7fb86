"""An output comes to its place whole or not at all, and never over an input."""
import errno
import os
import subprocess
import sys
import threading

import pytest

from mmvis.errors import InputError, InputFileError
from mmvis.structures.output_file import (
    check_output,
    check_output_folder,
    check_outputs,
    open_output,
    replacing,
    write_output,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_new_file_replaces_the_old_one_with_its_permissions(tmp_path):
    path = tmp_path / 'a' / 'x.json'
    write_output(path, 'caf\xe9')
    assert path.read_bytes() == 'caf\xe9'.encode()
    path.chmod(0o640)
    write_output(path, b'\x00')
    assert path.read_bytes() == b'\x00' and path.stat().st_mode & 0o777 == 0o640
    assert names(path.parent) == ['x.json']


def test_a_fault_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / 'x'
    path.write_text('old')
    with pytest.raises(RuntimeError, match='a bug'):
        with open_output(path) as file:
            file.write('new')
            raise RuntimeError('a bug')
    assert path.read_text() == 'old' and names(tmp_path) == ['x']


@pytest.mark.parametrize('how', ['same', 'dotted', 'link', 'hard link', 'through a folder'])
def test_an_input_is_not_written_over(tmp_path, how):
    source = tmp_path / 'in.json'
    source.write_text('precious')
    path = tmp_path / 'out.json'
    if how == 'same':
        path = source
    elif how == 'dotted':
        path = tmp_path / '.' / 'in.json'
    elif how == 'link':
        path.symlink_to(source)
    elif how == 'hard link':
        os.link(source, path)
    else:
        (tmp_path / 'there').symlink_to(tmp_path)
        path = tmp_path / 'there' / 'in.json'
    with pytest.raises(InputError, match='is an input of this run.*choose another output'):
        write_output(path, 'x', inputs=[None, source])
    assert source.read_text() == 'precious'


def test_an_output_that_is_an_input_which_is_not_there_yet(tmp_path):
    with pytest.raises(InputError, match='is an input'):
        check_output(tmp_path / 'a' / '..' / 'x', inputs=[tmp_path / 'x'])


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / 'deep' / 'target', tmp_path / 'link'
    target.parent.mkdir()
    target.write_text('old')
    link.symlink_to(target)
    write_output(link, 'new')
    assert link.is_symlink() and target.read_text() == 'new' and names(target.parent) == ['target']


def test_what_is_no_regular_file_is_written_straight(tmp_path):
    pipe, got = tmp_path / 'pipe', []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_output(pipe, 'through the pipe')
    reader.join()
    assert got == ['through the pipe'] and names(tmp_path) == ['pipe']
    write_output('/dev/null', 'nothing')
    assert not os.path.isfile('/dev/null')


def test_a_folder_and_places_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputFileError, match=f'{tmp_path} cannot be written: it is a folder'):
        write_output(tmp_path, 'x')
    with pytest.raises(InputFileError, match='file/x cannot be written: .*file is not a folder'):
        write_output(tmp_path / 'file' / 'x', 'x')
    with pytest.raises(InputFileError, match='/proc/x cannot be written: '):
        write_output('/proc/x', 'x')


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path):
    path = tmp_path / 'x'
    path.write_text('old')
    with pytest.raises(InputFileError, match=f'^{path} cannot be written: No space left on device.$'):
        with open_output(path) as file:
            file.write('half')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert path.read_text() == 'old' and names(tmp_path) == ['x']
    with pytest.raises(InputFileError, match='/dev/full cannot be written: No space left on device'):
        write_output('/dev/full', 'x')


def test_an_error_of_another_file_is_not_told_of_the_output(tmp_path):
    with pytest.raises(FileNotFoundError, match='elsewhere') as caught:
        with open_output(tmp_path / 'x'):
            open(tmp_path / 'elsewhere')
    assert not isinstance(caught.value, InputError)


def test_a_second_writer_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    path = tmp_path / 'x'
    code = ('import os, sys\nfrom mmvis.structures.output_file import open_output\n'
            f'with open_output({str(path)!r}) as file:\n'
            '    file.write("half")\n    file.flush()\n    print("writing", flush=True)\n    sys.stdin.read()\n')
    writer = subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == 'writing\n'
    with pytest.raises(InputFileError, match='x is being written by another process'):
        write_output(path, 'mine')
    writer.kill()
    writer.communicate()
    write_output(path, 'mine')
    assert path.read_text() == 'mine' and names(tmp_path) == ['x']


def test_a_suffix_for_libraries_that_go_by_it(tmp_path):
    with replacing(tmp_path / 'x.mp4', suffix='.tmp.mp4') as temporary:
        assert temporary.name == 'x.mp4.tmp.mp4'
        temporary.write_bytes(b'picture')
    assert (tmp_path / 'x.mp4').read_bytes() == b'picture'


@pytest.mark.parametrize('name', ['x.tmp', 'x.tmp.mp4', 'x.part.0'])
def test_an_input_is_not_written_over_on_the_way(tmp_path, name):
    with pytest.raises(InputError, match=f'On the way to the output .*x the input .*{name} would be written over'):
        check_output(tmp_path / 'x', inputs=[tmp_path / name])
    check_output(tmp_path / 'y', inputs=[tmp_path / name])
    check_output(tmp_path / 'other' / 'x', inputs=[tmp_path / name])


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path):
    (tmp_path / 'precious').write_text('old')
    (tmp_path / 'x.tmp').symlink_to(tmp_path / 'precious')
    write_output(tmp_path / 'x', 'new')
    assert (tmp_path / 'precious').read_text() == 'old' and (tmp_path / 'x').read_text() == 'new'


def test_what_stands_in_the_way_is_told_before_the_work(tmp_path):
    (tmp_path / 'x.tmp').mkdir()
    with pytest.raises(InputFileError, match='x cannot be written: .*x.tmp is in its way'):
        check_output(tmp_path / 'x')
    with pytest.raises(InputFileError, match='^/proc/x cannot be written: no file can be made in /proc.$'):
        check_output('/proc/x')
    with pytest.raises(InputFileError, match='File name too long'):
        check_output(tmp_path / ('x' * 300))
    assert names(tmp_path) == ['x.tmp']


def test_two_outputs_that_are_one_file(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path / 'x')
    check_outputs([tmp_path / 'x', None, tmp_path / 'y', '/dev/null', '/dev/null'])
    for other in ('x', 'link', 'a/../x'):
        with pytest.raises(InputError, match='is given for two outputs'):
            check_outputs([tmp_path / 'x', tmp_path / other])
    with pytest.raises(InputError, match='is an input'):
        check_outputs([tmp_path / 'y', tmp_path / 'x'], [tmp_path / 'link'])


@pytest.mark.parametrize('name', ['/dev/stdout', '/dev/fd/1', '/proc/self/fd/1'])
@pytest.mark.parametrize('kind', ['file', 'pipe'])
def test_the_open_standard_output_is_written_straight(tmp_path, name, kind):
    if kind == 'file':
        path = tmp_path / 'x'
        receiver = reader = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    else:
        reader, receiver = os.pipe()
    kept = os.dup(1)
    os.dup2(receiver, 1)
    try:
        os.write(1, b'before ')
        write_output(name, 'content ')
        os.write(1, b'after')
    finally:
        os.dup2(kept, 1)
    if kind == 'file':
        os.lseek(reader, 0, os.SEEK_SET)
    assert os.read(reader, 100) == b'before content after'
    assert names(tmp_path) == ['x'] * (kind == 'file')
    for number in {kept, reader, receiver}:
        os.close(number)


def test_a_folder_that_cannot_be_made(tmp_path):
    check_output_folder(tmp_path / 'a' / 'b')
    assert (tmp_path / 'a' / 'b').is_dir()
    (tmp_path / 'file').write_text('')
    for name in ('file', 'file/x/y'):
        with pytest.raises(InputFileError, match=f'{name} cannot be written: {tmp_path}/file is not a folder'):
            check_output_folder(tmp_path / name)
