"""Whatever data a Keras user has -> a fixed number of examples in memory.

Gradient-based scorers look at the same few hundred examples several times, so that a stream is read
once, as far as it is needed, and kept.
"""

from collections.abc import Iterable, Iterator

import keras
import numpy as np

from tfprune.calibration.examples import (
    FEWEST,
    AnyExamples,
    Examples,
    VaryingExamples,
    joined,
)
from tfprune.support.tensors import Data
from tfprune.support.validation import require_integer


class ExampleSource:
    """Data of any kind, from which examples are taken.

    Args:
        data: what `keras.Model.fit` takes: a tuple (x, y) or (x, y, sample_weight) of arrays or
            nests of them, a batched `tf.data.Dataset`, a `keras.utils.PyDataset`, or an iterable of
            batches, of which a generator is read once only. Inputs alone will do where no loss is
            computed.
        targets: whether there must be targets.
        inputs: number of arrays that the model takes. Where no targets are needed, a list or tuple
            of as many arrays is the inputs of a model with several.

    Raises:
        TypeError: if `data` is none of these; ValueError if it is None.

    Example:
        >>> source = ExampleSource((np.ones((8, 3)), np.ones(8)))
        >>> source.take(4).count
        4
    """

    def __init__(self, data: Data | AnyExamples, *, targets: bool = True, inputs: int = 1):
        require_data(data)
        self._targets = targets
        self._inputs = 1 if targets else inputs
        self._kept: AnyExamples | None = None
        self._whole: AnyExamples | None = None
        self._data: Data = ()
        if isinstance(data, Examples | VaryingExamples):
            for part in data.parts:
                _require_one_length(part)
            self._whole = data
        elif _is_nest_of_arrays(data):
            self._whole = _as_examples(data, self._inputs)
        else:
            self._data = data
        if self._whole is not None:
            self._check(self._whole)

    def take(self, limit: int | None, *, seed: int = 0) -> Examples:
        """Return at most `limit` examples of one shape.

        Args:
            limit, seed: as of `take_varying`.

        Raises:
            ValueError: as there, and if batches differ in the shape of their examples.
        """
        found = self.take_varying(limit, seed=seed)
        if isinstance(found, Examples):
            return found
        first, second = ([leaf.shape[1:] for leaf in part.leaves()] for part in found.parts[:2])
        raise ValueError(
            "All batches of `data` must have examples of one shape here: pad them alike. "
            f"Received: arrays of shapes {first}, then {second} an example."
        )

    def take_varying(self, limit: int | None, *, seed: int = 0) -> AnyExamples:
        """Return at most `limit` examples, whose shapes may change from batch to batch.

        Args:
            limit: largest number of examples, >= 2; None takes all there are.
            seed: of the choice where all examples are at hand: it is random without replacement,
                in the order of the data. A stream gives its next ones.

        Returns:
            The examples; fewer than `limit` if the data has no more.

        Raises:
            ValueError: if there are fewer than two, inputs and targets differ in number, batches
                differ in structure, or all are asked of data without an end.
        """
        if limit is not None:
            require_integer("examples", limit, minimum=FEWEST)
        if self._whole is not None:
            return _sample(self._whole, limit, seed)
        if self._kept is None or iter(self._data) is not self._data:
            self._kept = self._read(limit)  # a generator is spent now: keep what it gave
        return self._kept

    def _read(self, limit: int | None) -> AnyExamples:
        if limit is None and _is_endless(self._data):
            raise ValueError(
                "`examples` must be given where the data has no end. Received: examples=None, "
                f"data={self._data!r}."
            )
        batches: list[Examples] = []
        count = 0
        for batch in _iterate(self._data):
            batches.append(_as_examples(batch, self._inputs))
            count += batches[-1].count
            if limit is not None and count >= limit:
                break
        if not batches:
            raise ValueError("`data` must hold examples. Received: no batch at all.")
        structures = [
            keras.tree.map_structure(lambda leaf: -1 if leaf is None else leaf.ndim, b.nest)
            for b in batches
        ]
        if any(structure != structures[0] for structure in structures):
            raise ValueError("All batches of `data` must have the same structure.")
        if limit is not None and count > limit:
            batches[-1] = batches[-1].take(slice(batches[-1].count - (count - limit)))
        found = joined(batches)
        self._check(found)
        return found

    def _check(self, found: AnyExamples) -> None:
        if found.count < FEWEST:
            raise ValueError(
                f"`data` must hold at least {FEWEST} examples. Received: {found.count}."
            )
        weights = [
            weight
            for part in found.parts
            for weight in keras.tree.flatten(part.sample_weight)
            if weight is not None
        ]
        if self._targets and weights and not any(np.any(weight) for weight in weights):
            raise ValueError(
                "`data` must have sample weights that are not all zero, or no example counts. "
                f"Received: {found.count} sample weights, all zero."
            )
        if self._targets and found.parts[0].y is None:
            raise ValueError(
                "`data` must have targets: (x, y) or batches of (x, y). Received: inputs alone."
            )


def _require_one_length(examples: Examples) -> None:
    if len({len(leaf) for leaf in examples.leaves()}) > 1:
        shapes = [leaf.shape for leaf in examples.leaves()]
        raise ValueError(
            "`data` must have as many targets (and weights) as inputs. "
            f"Received: arrays of shapes {shapes}."
        )


def require_data(data: object) -> object:
    """Return `data` when it is of a kind that examples can be taken from; nothing is read yet.

    Example:
        >>> require_data("train.npz")
        Traceback (most recent call last):
        TypeError: `data` must be a tuple (x, y) of arrays, ... Received: data='train.npz' (...
    """
    if data is None:
        raise ValueError("`data` must hold examples. Received: data=None.")
    kinds = Iterable | keras.utils.PyDataset | Examples | VaryingExamples
    known = isinstance(data, kinds) or hasattr(data, "shape")
    single = isinstance(data, str | bytes | type) or getattr(data, "shape", None) == ()
    if not known or single:
        raise TypeError(
            "`data` must be a tuple (x, y) of arrays, a tf.data.Dataset, a keras PyDataset or "
            f"an iterable of batches. Received: data={data!r} (of type {type(data).__name__})."
        )
    return data


def _is_nest_of_arrays(data: object) -> bool:
    if not isinstance(data, tuple | list | dict) and not hasattr(data, "__array__"):
        return False
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    arrays = all(hasattr(leaf, "__array__") and hasattr(leaf, "shape") for leaf in leaves)
    # A list of batches holds tuples; a list of arrays is a model's several inputs.
    of_batches = isinstance(data, list) and any(isinstance(item, tuple) for item in data)
    return bool(leaves) and arrays and not of_batches


def _as_examples(batch: object, inputs: int) -> Examples:
    alone = False
    if isinstance(batch, list | tuple) and len(batch) == inputs > 1:
        alone = all(hasattr(item, "shape") for item in batch)
    parts = (batch,) if alone else keras.utils.unpack_x_y_sample_weight(batch)
    try:
        found = Examples(*(keras.tree.map_structure(_as_array, part) for part in parts))
        arrays = all(leaf.ndim for leaf in found.leaves())
        reason = "" if arrays else "a number stands where an array should"
    except (TypeError, ValueError) as error:
        reason = str(error)
    if reason:
        raise ValueError(
            "`data` must give arrays with the examples along axis 0. Received: a batch of type "
            f"{type(batch).__name__} ({reason})."
        )
    _require_one_length(found)
    return found


def _as_array(value: object) -> np.ndarray | None:
    if value is None:
        return None
    array = np.asarray(keras.ops.convert_to_numpy(value))
    return array.astype(keras.config.floatx()) if array.dtype == np.float64 else array


def _is_endless(data: object) -> bool:
    """Whether the data says of itself that it goes on for ever: `repeat()`, or no length."""
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is None
    cardinality = getattr(data, "cardinality", None)
    return callable(cardinality) and int(cardinality()) == -1  # tf.data.INFINITE_CARDINALITY


def _iterate(data: Data) -> Iterator[object]:
    if isinstance(data, keras.utils.PyDataset):
        length = data.num_batches
        index = 0
        while length is None or index < length:
            yield data[index]
            index += 1
    else:
        yield from data


def _sample(examples: AnyExamples, limit: int | None, seed: int) -> AnyExamples:
    if limit is None or limit >= examples.count:
        return examples
    chosen = np.random.default_rng(seed).choice(examples.count, limit, replace=False)
    return examples.take(np.sort(chosen))
