"""Files take the place of others whole, with their rights, or not at all."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading

import pytest

from tfprune.support.files import replacing, require_writable

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def write(path, content=b"new"):
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o700])
def test_a_file_keeps_its_mode_and_owner(mode, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    path.chmod(mode)
    before = path.stat()
    write(path)
    after = path.stat()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


def test_a_new_file_has_the_mode_that_the_process_gives(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "model.tflite"
    plain.write_bytes(b"")
    write(path)
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("check", [write, require_writable])
def test_a_read_only_file_is_not_replaced_even_by_root(check, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(ValueError, match=r"`path` must be writable. Received: .*read-only"):
        check(path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["model.tflite"]


def test_a_link_is_followed_and_a_circle_of_links_refused(tmp_path):
    real, link = tmp_path / "real.tflite", tmp_path / "link.tflite"
    link.symlink_to(real)  # leads nowhere yet
    write(link)
    assert link.is_symlink() and real.read_bytes() == b"new"
    first, second = tmp_path / "first", tmp_path / "second"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(ValueError, match="`path` must be writable.*symbolic links"):
        write(first)
    assert first.is_symlink() and second.is_symlink()


@pytest.mark.parametrize("path", ["missing/model.tflite", ".", "a\0b"])
def test_places_where_no_file_can_be_are_one_error(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match="`path` must be (writable|able to name a file). Received: path="
    ):
        write(path)
    assert os.listdir(tmp_path) == []


PROGRAM = """
    import sys, time
    from tfprune.support.files import replacing
    with replacing(sys.argv[1]) as temporary:
        open(temporary, "w").write("half")
        print("ready", flush=True)
        time.sleep(60)
"""


def test_a_terminated_process_leaves_nothing_behind(tmp_path):
    path = tmp_path / "o.tflite"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path)]
    environment = os.environ | {"PYTHONPATH": ROOT}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"ready\n" and len(os.listdir(tmp_path)) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == -signal.SIGTERM
    assert os.listdir(tmp_path) == ["o.tflite"] and path.read_bytes() == b"old"


def test_handlers_of_the_program_and_other_threads_are_left_alone(tmp_path):
    def mine(number, frame):
        """The program's own."""

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with replacing(tmp_path / "a") as _:
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    thread = threading.Thread(target=write, args=(tmp_path / "b",))
    thread.start()
    thread.join()
    assert (tmp_path / "b").read_bytes() == b"new"
    assert signal.getsignal(signal.SIGTERM) is before
