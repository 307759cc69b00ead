"""Files for the tests of the command line, and ways to run it."""

import json
import zipfile

import keras

import tfprune
from tfprune import cli


def small_model():
    layers = [
        keras.Input((6,)),
        keras.layers.Dense(8, activation="relu", name="hidden"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dense(4, name="out"),
    ]
    return keras.Sequential(layers, name="small")


def make_files(folder):
    """Write a plain, a pruned and an unprunable model, a .tflite file and broken ones."""
    plain = small_model()
    plain.save(folder / "plain.keras")
    pruned = tfprune.prune(plain, tfprune.OneShot(0.75))
    tfprune.PruningUpdater(pruned, keras.optimizers.SGD()).begin()
    pruned.save(folder / "pruned.keras")
    norm = [keras.Input((4,)), keras.layers.BatchNormalization()]
    keras.Sequential(norm, name="bare").save(folder / "bare.keras")
    (folder / "truncated.keras").write_bytes((folder / "plain.keras").read_bytes()[:4000])
    (folder / "text.keras").write_text("hello")
    with zipfile.ZipFile(folder / "zip.keras", "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert cli.main(["export", str(folder / "plain.keras"), "-o", str(folder / "a.tflite")]) == 0
    (folder / "truncated.tflite").write_bytes((folder / "a.tflite").read_bytes()[:500])
    (folder / "text.tflite").write_text("hello")


def json_of(capsys, *arguments):
    capsys.readouterr()
    status = cli.main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return json.loads(captured.out)


def error_of(capsys, *arguments):
    """The line that the command ends with; checks that it is the only one, and the status."""
    capsys.readouterr()
    try:
        status = cli.main(list(map(str, arguments)))
    except SystemExit as stop:  # how argparse ends
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2, captured.out
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith((f"tfprune {arguments[0]}: error: ", "tfprune: error: "))
    return line
