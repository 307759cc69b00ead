"""scripts/lab/sparse_weights.py: what is written comes back, and nothing is half-written."""

import errno

import keras
import numpy as np
import pytest
from keras import layers

from scripts.lab import sparse_weights


def model():
    return keras.Sequential([keras.Input((13,)), layers.Dense(37), layers.Dense(1)])


@pytest.mark.parametrize("sparsity", [0.0, 0.9])
def test_sparse_weights_come_back_as_they_were(sparsity, tmp_path):
    source, target = model(), model()
    random = np.random.default_rng(0)
    source.set_weights([w * (random.random(w.shape) >= sparsity) for w in source.get_weights()])
    sparse_weights.save(source, tmp_path / "w.npz")
    sparse_weights.load(target, tmp_path / "w.npz")
    for one, other in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_full_disk_leaves_the_older_file(tmp_path, monkeypatch):
    def full(path, **content):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    sparse_weights.save(model(), tmp_path / "w.npz")
    before = (tmp_path / "w.npz").read_bytes()
    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(ValueError, match="`--keep` must be on a disk with room.*No space left"):
        sparse_weights.save(model(), tmp_path / "w.npz")
    assert (tmp_path / "w.npz").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["w.npz"]
