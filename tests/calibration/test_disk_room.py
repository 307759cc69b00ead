"""Files that are written whole or not at all, and arrays on disk that have their room."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tfprune.support import disk_arrays, files


def test_an_array_on_disk_takes_its_room_at_once(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "posix_fallocate", lambda file, start, size: asked.append(size))
    found = disk_arrays.disk_array((3, 5), np.float32)
    assert asked == [60] and found.shape == (3, 5) and isinstance(found, np.memmap)


def test_an_array_on_disk_is_written_where_room_cannot_be_reserved(monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    found = disk_arrays.disk_array((1 << 19, 5), np.float32)
    assert found.shape == (1 << 19, 5) and not found.any()


@pytest.mark.parametrize("without", [False, True])
def test_a_disk_without_room_is_an_error_that_names_the_folder(without):
    """The limit on the size of a file stands for a full disk; SIGBUS would end the process."""
    code = f"""
        import os, resource, numpy as np
        from tfprune.support.disk_arrays import disk_array
        if {without}:
            del os.posix_fallocate
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        disk_array((1 << 18,), np.float32)[:] = 1.0
        try:
            disk_array((1 << 19,), np.float32)[:] = 1.0
        except OSError as error:
            print(error.filename)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert os.path.isdir(done.stdout.strip())


def test_the_folder_of_an_array_on_disk_is_chosen_by_the_environment(tmp_path):
    code = """
        import os, numpy as np
        from tfprune.support import disk_arrays
        seen = []
        os.posix_fallocate = lambda file, *_: seen.append(os.readlink(f"/proc/self/fd/{file}"))
        disk_arrays.disk_array((4,), np.float32)
        print(seen[0])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout.startswith(str(tmp_path)), done.stderr


def test_a_disk_that_fills_up_names_the_file_and_leaves_the_older_one(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("older")
    with pytest.raises(ValueError, match="`path` must.*room.*page.html.*No space"):
        with files.replacing(path):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "older" and os.listdir(tmp_path) == ["page.html"]


def test_other_errors_while_writing_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        with files.replacing(tmp_path / "page.html"):
            open(tmp_path / "missing").close()
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_what_was_written_to_disk_goes_from_memory_and_comes_back():
    def in_memory():
        lines = Path("/proc/self/status").read_text().splitlines()
        held = [line.split()[1] for line in lines if line.startswith(("RssFile", "RssShmem"))]
        return 1024 * sum(map(int, held))

    array = disk_arrays.disk_array((64, 1 << 18), np.float32)  # 64 MiB
    array[:] = np.arange(64)[:, None]
    view = array[1:].reshape(63, 2, -1)
    full = in_memory()
    disk_arrays.release(view)
    assert in_memory() < full - (60 << 20)
    assert np.array_equal(array[:, 7], np.arange(64))
    disk_arrays.release(np.ones(3))
