"""One interpreter on JAX, in which tests of all files of a process run code one after the other.

A fresh interpreter takes five seconds until Keras is there. `python -m tests.support.jax_session`
is what runs in the other process: it reads code and answers, one line of JSON each.
"""

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What an interpreter on JAX is started with. XLA compiles what is run once for a second or more;
# without optimizations it takes less than half the time.
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
}


def run_on_jax(code):
    """Run code in names of its own, with Keras on JAX; return what it prints, or fail.

    What it imports, registers and configures stays for the next one.
    """
    session = _session()
    try:
        session.stdin.write(json.dumps(textwrap.dedent(code)) + "\n")
        session.stdin.flush()
        answer = session.stdout.readline()
    except BaseException:  # a test that took too long: its answer is not that of the next one
        end_session()
        raise
    if not answer:
        end_session()
        raise AssertionError("the interpreter on JAX has ended")
    printed, error = json.loads(answer)
    assert not error, f"{printed}\n{error}"[-3000:]
    return printed


def end_session():
    """End the interpreter; the next code starts another."""
    if _session.cache_info().currsize:
        _session().kill()
        _session().communicate()
        _session.cache_clear()


@functools.cache
def _session():
    return subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
    )


def _answer(code):
    """What the code prints, and the traceback of its error if it raises one."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "code of the test", "exec"), {"__name__": "session"})
    except BaseException:
        return printed.getvalue(), traceback.format_exc()
    return printed.getvalue(), None


def main():
    """Answer until there is no more code."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what C code prints is no answer
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
