"""scripts/lab/checkpoints.py: files that are damaged, or cannot be written."""

import errno
import random

import keras
import numpy as np
import pytest

from scripts.lab import checkpoints
from scripts.lab.checkpoints import Checkpoint, load_weights

SETTINGS = {"text": "a"}
CHANGES = [
    {"settings": "[1"},
    {"settings": "[1]"},
    {"spent": "a"},
    {"trained_on": "[1]"},
    {"trained_on": '{"a": 1}'},
]


def model():
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    made.compile("adam", "mse")
    return made


def train(checkpoint):
    made = model()
    checkpoint.restore(made)
    x = np.ones((8, 3))
    made.fit(x, x[:, :1], epochs=1, verbose=0, callbacks=[checkpoint])
    return made


def test_damage_anywhere_is_one_line_and_changes_nothing(tmp_path):
    file = tmp_path / "c.npz"
    train(Checkpoint(file, SETTINGS))
    whole, other = file.read_bytes(), model()
    other.optimizer.build(other.trainable_variables)
    before = [variable.numpy() for variable in other.variables]
    draw, refused = random.Random(0), 0
    for attempt in range(400):
        content = bytearray(whole[: draw.choice([len(whole), draw.randrange(len(whole))])])
        for position in draw.choices(range(len(content)), k=4) if content else ():
            content[position] ^= draw.randrange(1, 256)
        file.write_bytes(bytes(content))
        try:
            Checkpoint(file, SETTINGS).restore(other)
        except ValueError as error:  # any other error fails the test
            refused += 1
            assert str(file) in str(error) and "\n" not in str(error)
            for variable, value in zip(other.variables, before, strict=True):
                np.testing.assert_array_equal(variable, value)
        else:  # a date in the archive, which says nothing
            before = [variable.numpy() for variable in other.variables]
    assert refused > 200


@pytest.mark.parametrize("change", CHANGES)
def test_entries_that_are_not_what_they_should_be_are_damage(change, tmp_path):
    file = tmp_path / "c.npz"
    train(Checkpoint(file, SETTINGS))
    np.savez(file, **{**np.load(file), **change})
    with pytest.raises(ValueError, match="is a damaged checkpoint; delete it to begin anew"):
        Checkpoint(file, SETTINGS).restore(model())


def test_a_checkpoint_of_another_vocabulary_is_refused_with_both(tmp_path):
    file = tmp_path / "c.npz"
    train(Checkpoint(file, {"fingerprint": "01234567"}))
    with pytest.raises(ValueError, match="'01234567' there, '89abcdef' here"):
        Checkpoint(file, {"fingerprint": "89abcdef"}).restore(model())


@pytest.mark.parametrize("place", ["file/c.npz", "file/below/c.npz", "c.npz"])
def test_a_place_that_cannot_be_written_is_refused_before_training(place, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "c.npz").mkdir()
    with pytest.raises(ValueError, match="`--checkpoints` must be .*writable") as error:
        Checkpoint(tmp_path / place, SETTINGS).restore(model())
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    file = tmp_path / "c.npz"
    train(Checkpoint(file, SETTINGS))
    before = file.read_bytes()

    def save(path, **arrays):
        with open(path, "wb") as half:
            half.write(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", save)
    with pytest.raises(
        ValueError, match="disk with room for the file.*c.npz.*No space left on device"
    ):
        train(Checkpoint(file, SETTINGS))
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]
    assert file.read_bytes() == before


def of(path, code, **options):
    return Checkpoint(path, SETTINGS, {"code": code, "data": "d"}, **options)


def test_a_checkpoint_of_other_code_is_refused_and_left_until_told_what_to_do(tmp_path, capsys):
    file = tmp_path / "c.npz"
    train(of(file, "old"))
    before = file.read_bytes()
    with pytest.raises(ValueError, match="was made by other code than there is .*start-over"):
        of(file, "new").restore(model())
    assert file.read_bytes() == before and not capsys.readouterr().err
    assert of(file, "new", changed="start-over").restore(model()) == 0
    assert "was made by other code than there is today: begun anew" in capsys.readouterr().err
    assert of(file, "new", changed="go-on").restore(model()) == 1
    assert "taken up all the same" in capsys.readouterr().err
    for changed in ("refuse", "start-over", "go-on"):
        assert of(file, "old", changed=changed).restore(model()) == 1
    assert not capsys.readouterr().err


def test_unknown_ways_to_treat_changes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`changed` must be one of refuse, start-over, go-on"):
        of(tmp_path / "c.npz", "a", changed="ignore")


def test_the_time_of_all_parts_is_counted(tmp_path):
    file = tmp_path / "c.npz"
    first = Checkpoint(file, SETTINGS)
    train(first)
    with np.load(file) as content:
        arrays = {**content, "spent": np.array([1000.0, 500.0])}
    np.savez(file, **arrays)
    second = Checkpoint(file, SETTINGS)
    assert second.restore(model()) == 1
    assert 1000 < second.spent()["seconds"] < 1100 and 500 < second.spent()["cpu_seconds"] < 600


@pytest.fixture
def on(monkeypatch):
    """Set the place that a training runs at."""
    return lambda place: monkeypatch.setattr(checkpoints, "where", lambda: place)


def test_a_training_that_goes_on_elsewhere_says_so_and_records_every_place(tmp_path, on, capsys):
    file = tmp_path / "c.npz"
    for place in ("tensorflow 2 on a CPU", "jax 1 on a CPU", "jax 1 on a CPU"):
        on(place)
        checkpoint = Checkpoint(file, SETTINGS)
        train(checkpoint)
    places = ["tensorflow 2 on a CPU", "jax 1 on a CPU"]
    assert checkpoint.spent()["trained_on"] == places
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"{file} was begun by {places[0]}, goes on by {places[1]}"
    assert second == f"{file} was begun by {places[0]}, then {places[1]}, goes on by {places[1]}"


def test_a_checkpoint_that_is_only_read_elsewhere_was_not_trained_there(tmp_path, on, capsys):
    file = tmp_path / "c.npz"
    on("tensorflow 2 on a CPU")
    train(Checkpoint(file, SETTINGS))
    on("jax 1 on a CPU")
    read = Checkpoint(file, SETTINGS)
    assert read.restore(model()) == 1
    assert read.spent()["trained_on"] == ["tensorflow 2 on a CPU"]
    assert not capsys.readouterr().err


def test_a_checkpoint_that_does_not_know_where_it_was_trained_goes_on(tmp_path, capsys):
    file = tmp_path / "c.npz"
    train(Checkpoint(file, SETTINGS))
    with np.load(file) as content:
        arrays = {name: array for name, array in content.items() if name != "trained_on"}
    np.savez(file, **arrays)
    old = Checkpoint(file, SETTINGS)
    assert train(old).optimizer.iterations == 2
    assert "trained_on" not in old.spent() and not capsys.readouterr().err


def test_the_weights_of_a_checkpoint_are_loaded_without_its_optimizer(tmp_path):
    file = tmp_path / "c.npz"
    trained = train(Checkpoint(file, SETTINGS))
    fresh = keras.models.clone_model(trained)
    load_weights(fresh, file)
    for mine, own in zip(fresh.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, own)


@pytest.mark.parametrize("there", [True, False])
def test_what_is_no_checkpoint_of_the_model_is_refused_in_one_line(there, tmp_path):
    file = tmp_path / "c.npz"
    if there:
        train(Checkpoint(file, SETTINGS))
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5), keras.layers.Dense(1)])
    before = other.get_weights()
    with pytest.raises(ValueError, match="must be a checkpoint of") as error:
        load_weights(other, file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)
    for mine, own in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, own)
