"""The process that runs .tflite files: what comes back from it, and every way in which it dies."""

import os
import subprocess
import sys
import tempfile
import textwrap

import keras
import numpy as np
import pytest

from tests.support.export import tflite_files
from tfprune.export import to_tflite
from tfprune.export.run import child, processes, runtime

WEIGHT = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tflite_files.write(tmp_path_factory.mktemp("child"), tflite_files.linear(WEIGHT))


@pytest.fixture
def impostor(tmp_path, monkeypatch):
    """Put another program in the place of the child's."""

    def install(code):
        program = tmp_path / "program.py"
        begin = 'import os, signal, sys, time\nstage = os.path.join(sys.argv[1], "stage.json")\n'
        program.write_text(begin + textwrap.dedent(code))
        monkeypatch.setattr(child, "__file__", str(program))

    return install


def test_outputs_with_each_kernel_are_those_of_the_formula(file):
    source = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    found = runtime.outputs(file, [source], batch=1)
    assert list(found) == list(runtime.KERNELS)
    for (array,) in found.values():
        np.testing.assert_allclose(array, source @ WEIGHT.T, rtol=1e-5, atol=1e-6)


def test_a_batch_of_all_examples_gives_what_single_ones_give(file):
    source = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    for batch in (None, 2, 5):
        (array,) = runtime.outputs(file, [source], batch=batch, kernels=[child.OWN_KERNELS])[
            child.OWN_KERNELS
        ]
        np.testing.assert_allclose(array, source @ WEIGHT.T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the runtime was killed by SIGSEGV"),
        ("os.abort()", "the runtime was killed by SIGABRT"),
        ("sys.exit(3)", "the runtime ended with status 3"),
        ("raise TypeError('inside')", "the runtime ended with status 1; TypeError: inside"),
        ("pass", "the runtime left no answer"),
        (
            """
            print("INFO: harmless", "ERROR: the first", "ERROR: the second", sep="\\n", flush=True)
            open(stage, "w").write('{"path": "this.tflite", "doing": "while loading"}')
            os.abort()
            """,
            "'this.tflite' (the runtime was killed by SIGABRT while loading; the first)",
        ),
        ("open(stage.replace('stage', 'answer'), 'w').write('[tru')", "left no answer"),
    ],
)
def test_a_death_is_one_line_that_says_how(code, found, impostor, file, capfd):
    impostor(code)
    for call in (
        lambda: runtime.outputs(file, [WEIGHT]),
        lambda: runtime.load(file),
        lambda: runtime.bench([file], runs=1, warmup=0),
    ):
        with pytest.raises(ValueError, match="`path` must name a file that LiteRT can") as error:
            call()
        assert found in str(error.value) and "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_runtime_that_hangs_is_stopped(impostor, file, monkeypatch):
    impostor("time.sleep(60)")
    monkeypatch.setattr(processes, "_PATIENCE_S", 0.3)
    with pytest.raises(ValueError, match="was stopped after 0 s without a result"):
        runtime.load(file)


def test_a_runtime_that_makes_progress_is_not_stopped(impostor, file, monkeypatch):
    impostor("""
        for _ in range(12):
            time.sleep(0.1)
            open(stage, "w").close()
        open(stage.replace("stage", "answer"), "w").write('{"seconds": 2.5, "memory_bytes": 7}')
        """)
    monkeypatch.setattr(processes, "_PATIENCE_S", 0.4)
    assert runtime.load(file) == (2.5, 7)


def test_nothing_is_left_behind(impostor, file, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    runtime.outputs(file, [np.ones((1, 3), np.float32)])
    impostor("os.abort()")
    with pytest.raises(ValueError):
        runtime.outputs(file, [np.ones((1, 3), np.float32)])
    assert os.listdir(tmp_path / "temporary") == []


def test_an_export_whose_file_kills_the_runtime_writes_nothing(impostor, tmp_path):
    impostor("os.kill(os.getpid(), signal.SIGSEGV)")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="killed by SIGSEGV"):
        to_tflite(model, tmp_path / "out" / "model.tflite")
    assert os.listdir(tmp_path / "out") == []


def test_an_operator_that_the_runtime_lacks_is_one_line_with_its_name(tmp_path, capfd):
    path = tflite_files.write(tmp_path, tflite_files.custom())
    with pytest.raises(ValueError, match="run.*model.tflite.*custom op: Mystery") as error:
        runtime.load(path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "inputs", [[], [WEIGHT, WEIGHT], [np.ones((1, 4), np.float32)], [np.ones((1, 3), np.int64)]]
)
def test_inputs_that_do_not_fit_are_an_error(inputs, file):
    with pytest.raises(ValueError, match="`path` must name a file that LiteRT can run"):
        runtime.outputs(file, inputs)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ValueError, match="no such.tflite"):
        runtime.load(tmp_path / "no such.tflite")


def test_the_child_imports_neither_tensorflow_nor_keras_nor_this_package():
    code = f"""
        import runpy, sys
        runpy.run_path({child.__file__!r})
        print([name for name in ("tensorflow", "keras", "tfprune") if name in sys.modules])
    """
    command = [sys.executable, "-P", "-c", textwrap.dedent(code)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout == "[]\n"
