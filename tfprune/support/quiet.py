"""Silence for native libraries that write to the terminal behind Python's back."""

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

# The file descriptors belong to the process, so two threads must not swap them at once.
_LOCK = threading.Lock()


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drops what the block writes to the process's standard output and error.

    The converter and the runtime log from C++, which `sys.stderr` and `logging` never see. An
    exception still passes; Python's own warnings are left alone.
    """
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow")]
    with _LOCK, tempfile.TemporaryFile() as sink:
        sys.stdout.flush()
        sys.stderr.flush()
        saved, levels = (os.dup(1), os.dup(2)), [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield
        finally:
            for descriptor, original in zip((1, 2), saved):
                os.dup2(original, descriptor)
                os.close(original)
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)
