"""The command line: files that people have, and one line on those that it cannot take."""

import json
import os
import shutil
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.cli_runner import error_of, json_of, small_model
from tfprune import cli
from tfprune.cli.commands import models

CODE = """
import keras

class Doubled(keras.layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)

def halved(x):
    return x / 2
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A small model, plain and pruned, in each format."""
    folder = tmp_path_factory.mktemp("files")
    model = small_model()
    pruned = tfprune.prune(model, tfprune.OneShot(0.75))
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
    for ending in (".keras", ".h5", ".hdf5"):
        model.save(folder / f"plain{ending}")
        pruned.save(folder / f"pruned{ending}")
    model.save_weights(folder / "model.weights.h5")
    return folder


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    """A folder with a module of layers, none of them registered, and a model that uses them."""
    (tmp_path / "own_layers.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    module = models.import_module("own_layers")
    parts = [keras.Input((6,)), module.Doubled(4, activation=module.halved), layers.Dense(2)]
    keras.Sequential(parts).save(tmp_path / "own.keras")
    keras.Sequential(parts).save(tmp_path / "own.h5")
    yield tmp_path
    del sys.modules["own_layers"]


@pytest.mark.parametrize("ending", [".keras", ".h5", ".hdf5"])
def test_every_format_of_keras_is_inspected_and_pruned(shared, capsys, tmp_path, ending):
    pruned = json_of(capsys, "inspect", shared / f"pruned{ending}")
    assert (pruned["pruned"], pruned["step"]) == (True, 0)
    out = tmp_path / "out.keras"
    found = json_of(capsys, "prune", shared / f"plain{ending}", "--sparsity", "0.5", "-o", out)
    assert found["report"]["prunable"]["sparsity"] == 0.5
    dense = keras.saving.load_model(shared / "plain.keras")
    assert np.array_equal(
        keras.saving.load_model(out).get_layer("norm").gamma, dense.get_layer("norm").gamma
    )


def test_pruned_hdf5_files_are_exported_and_the_default_output_is_a_keras_file(
    shared, capsys, tmp_path
):
    json_of(capsys, "export", shared / "pruned.h5", "-o", tmp_path / "m.tflite")
    copy = shutil.copy(shared / "plain.h5", tmp_path / "model.h5")
    json_of(capsys, "prune", copy, "--sparsity", "0.5")
    assert sorted(os.listdir(tmp_path)) == ["m.tflite", "model-pruned.keras", "model.h5"]


def test_files_under_the_ending_of_another_format_are_told_the_copy_to_make(
    shared, capsys, tmp_path
):
    hdf5 = shutil.copy(shared / "plain.h5", tmp_path / "my model.keras")
    line = error_of(capsys, "report", hdf5)
    assert "is an HDF5 file" in line
    assert line.endswith(f"cp '{hdf5}' '{tmp_path / 'my model.h5'}'")
    archive = shutil.copy(shared / "plain.keras", tmp_path / "model.h5")
    line = error_of(capsys, "report", archive)
    assert line.endswith(f"cp {archive} {tmp_path / 'model.keras'}")


@pytest.mark.parametrize("command", ["inspect", "report", "lint", "bench"])
def test_git_lfs_pointers_are_told_from_files(tmp_path, capsys, command):
    ending = "keras" if command in ("inspect", "report") else "tflite"
    path = tmp_path / f"model.{ending}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    line = error_of(capsys, command, path)
    assert "is a Git LFS pointer" in line
    assert line.endswith(f"git lfs pull --include model.{ending}")


def test_weights_without_layers_are_told_how_to_become_a_model(shared, tmp_path, capsys):
    line = error_of(capsys, "report", shared / "model.weights.h5")
    assert "holds the weights of a model, not its layers" in line
    assert "model.load_weights(" in line and "model.save('model.keras')" in line
    with h5py.File(tmp_path / "old.h5", "w") as file:  # as Keras 2 wrote them
        file.attrs["layer_names"] = [b"dense"]
    assert "holds the weights" in error_of(capsys, "report", tmp_path / "old.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.arange(3)
    assert "something else than a Keras model" in error_of(capsys, "report", tmp_path / "other.h5")
    (tmp_path / "cut.h5").write_bytes((shared / "plain.h5").read_bytes()[:3000])
    assert "no HDF5 file, or a damaged one" in error_of(capsys, "report", tmp_path / "cut.h5")


def rewritten(source, path, change, **metadata):
    """A copy of a .keras file with another config, and other entries in its metadata."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = change(content.decode())
            elif name == "metadata.json":
                content = json.dumps({**json.loads(content), **metadata})
            new.writestr(name, content)
    return path


def test_files_of_keras_2_that_keras_3_cannot_read_are_told_how_to_be_converted(
    shared, tmp_path, capsys
):
    def as_keras_2(config):
        return config.replace('"axis": -1', '"axis": [1]')

    path = rewritten(shared / "plain.keras", tmp_path / "m.keras", as_keras_2, keras_version="2.15")
    line = error_of(capsys, "report", path)
    assert "was written by Keras 2.15" in line and "pip install tf_keras" in line
    assert line.endswith(f" {path} {tmp_path / 'm-converted.h5'}")
    path = rewritten(shared / "plain.keras", tmp_path / "m.keras", as_keras_2)
    assert "Keras 2" not in error_of(capsys, "report", path)


def test_saved_model_folders_are_told_how_to_be_converted(tmp_path, capsys):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    line = error_of(capsys, "report", f"{tmp_path / 'saved'}/")
    assert "TensorFlow SavedModel" in line
    assert line.endswith(f" {tmp_path / 'saved'} {tmp_path / 'saved.h5'}")


@pytest.mark.parametrize("name", ["own.keras", "own.h5"])
def test_classes_and_functions_of_a_module_are_imported_when_asked(own_code, capsys, name):
    line = error_of(capsys, "inspect", name)
    assert "'Doubled'" in line and "--import " in line
    assert ("--import own_layers," in line) == name.endswith(".keras")
    line = error_of(capsys, "inspect", name, "--import", "json.decoder")
    assert "which json.decoder does not define" in line
    given = ["--import", "own_layers"]
    assert json_of(capsys, "inspect", name, *given)["prunable"]["size"] == 6 * 4 + 4 * 2
    json_of(capsys, "prune", name, "--sparsity", "0.5", "-o", "out.keras", *given)
    assert json_of(capsys, "report", "out.keras", *given)["prunable"]["sparsity"] == 0.5
    json_of(capsys, "export", "out.keras", "-o", "out.tflite", *given)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_lambda_layers_run_only_when_allowed(tmp_path, capsys, ending):
    path = tmp_path / f"m{ending}"
    parts = [keras.Input((6,)), layers.Dense(4), layers.Lambda(lambda x: 2 * x), layers.Dense(2)]
    keras.Sequential(parts).save(path)
    out = ["-o", tmp_path / "out.keras"]
    line = error_of(capsys, "prune", path, "--sparsity", "0.5", *out)
    assert "Lambda layer" in line and line.endswith("if you trust it, add --allow-lambda")
    json_of(capsys, "prune", path, "--sparsity", "0.5", *out, "--allow-lambda")
    assert "--allow-lambda" in error_of(capsys, "report", out[1])
    found = json_of(capsys, "report", out[1], "--allow-lambda")
    assert found["prunable"]["sparsity"] == 0.5


def test_archives_that_unpack_to_what_no_model_has_are_refused_unread(
    shared, tmp_path, capsys, monkeypatch
):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        with archive.open("model.weights.h5", "w") as member:
            for _ in range(300):
                member.write(bytes(2**20))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("it was read"))
    line = error_of(capsys, "report", path)
    assert "is not read" in line and f"{300 * 2**20 + 4:,}" in line


def test_arrays_that_an_hdf5_file_only_announces_are_refused_unread(shared, tmp_path, capsys):
    def grow(path):
        with h5py.File(path, "r+") as file:
            file.create_dataset("grown", shape=(10**6, 10**6), dtype="float32", chunks=(64, 64))

    path = shutil.copy(shared / "plain.h5", tmp_path / "grown.h5")
    grow(path)
    assert "is not read" in error_of(capsys, "report", path)
    with zipfile.ZipFile(shared / "plain.keras") as archive:
        archive.extractall(tmp_path / "parts")
    grow(tmp_path / "parts" / "model.weights.h5")
    with zipfile.ZipFile(tmp_path / "grown.keras", "w") as archive:
        for name in os.listdir(tmp_path / "parts"):
            archive.write(tmp_path / "parts" / name, name)
    assert "is not read" in error_of(capsys, "report", tmp_path / "grown.keras")


def test_encrypted_and_wrongly_packed_archives_are_one_line(shared, tmp_path, capsys):
    content = bytearray((shared / "plain.keras").read_bytes())
    with zipfile.ZipFile(shared / "plain.keras") as archive:
        header = archive.getinfo("model.weights.h5").header_offset
    entry = content.rindex(b"PK\x01\x02")  # of the weights, in the directory
    for local, central, value in ((6, 8, 1), (8, 10, zipfile.ZIP_DEFLATED)):
        changed = content.copy()
        changed[header + local] = changed[entry + central] = value
        (tmp_path / "m.keras").write_bytes(changed)
        assert "or a damaged one" in error_of(capsys, "report", tmp_path / "m.keras")


def test_a_recompressed_model_is_read(shared, tmp_path):
    with zipfile.ZipFile(shared / "plain.keras") as old:
        with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
    assert cli.main(["report", str(tmp_path / "m.keras"), "--json"]) == 0


@pytest.mark.parametrize("command", ["lint", "inspect", "report", "bench"])
def test_pipes_are_refused_instead_of_waited_for(tmp_path, capsys, command):
    path = tmp_path / ("pipe.keras" if command == "report" else "pipe.tflite")
    os.mkfifo(path)
    assert "is not a regular file" in error_of(capsys, command, path)
    (tmp_path / "loop.keras").symlink_to(tmp_path / "loop.keras")
    assert "cannot be read" in error_of(capsys, "report", tmp_path / "loop.keras")
