"""Batches of arrays in an order that a seed fixes."""

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Every batch of several epochs as one long epoch, in an order that the seed fixes.

    Args:
        x, y: arrays (n, ...).
        batch_size: examples a batch; the last of each epoch may be smaller.
        epochs: passes over the data, each in another order.
        seed: of the orders.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, *, batch_size: int, epochs: int, seed: int):
        super().__init__()
        self._x, self._y = x, y
        random = np.random.default_rng(seed)
        self._index = [
            order[start : start + batch_size]
            for order in (random.permutation(len(x)) for _ in range(epochs))
            for start in range(0, len(x), batch_size)
        ]

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        index = self._index[position]
        return self._x[index], self._y[index]
