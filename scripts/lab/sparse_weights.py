"""The weights of a pruned model in a small file: values that are not zero, and a bit for each."""

from pathlib import Path

import keras
import numpy as np

from tfprune.support.files import replacing


def save(model: keras.Model, path: Path) -> None:
    """Write every weight of a plain model.

    Args:
        model: built.
        path: .npz file to write; entry `k values` has the nonzero values of weight k in row-major
            order, `k places` a bit for each of its values, packed as NumPy does, and `k shape`.

    Raises:
        ValueError: if the file cannot be written; an older one stays.
    """
    content = {}
    for position, weight in enumerate(model.get_weights()):
        content[f"{position} values"] = weight[weight != 0]
        content[f"{position} places"] = np.packbits(weight.ravel() != 0)
        content[f"{position} shape"] = np.array(weight.shape)
    with replacing(path, name="--keep") as new:
        np.savez_compressed(new, **content)


def load(model: keras.Model, path: Path) -> None:
    """Set every weight of a model of the same layers to those of a file that `save` wrote."""
    weights = []
    with np.load(path, allow_pickle=False) as content:
        for position in range(len(content.files) // 3):
            values, places, shape = (
                content[f"{position} {part}"] for part in ("values", "places", "shape")
            )
            weight = np.zeros(int(np.prod(shape)), values.dtype)
            weight[np.unpackbits(places, count=weight.size).astype(bool)] = values
            weights.append(weight.reshape(shape))
    model.set_weights(weights)
