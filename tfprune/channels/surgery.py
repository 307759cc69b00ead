"""Cut a model: the same graph of the same layers, without the channels that go."""

from collections.abc import Mapping, Set

import keras
import numpy as np

from tfprune.channels.coupling.ledger import Labels
from tfprune.channels.coupling.reading import Reading
from tfprune.channels.kept import Kept
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.private_keras import structures_of
from tfprune.keras_graph.rebuilding import Resized, rebuild
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity


def cut(
    reading: Reading, kept: Kept, values: Mapping[keras.Variable, np.ndarray] | None = None
) -> keras.Model:
    """Return a plain model of the channels that are kept.

    Args:
        reading: of the model, which is not changed.
        kept: channels.
        values: weight of the model -> values to use in place of its own, of its shape.

    Returns:
        A model that shares nothing with the original, not compiled.

    Raises:
        ValueError: if a layer cannot be copied.
    """
    cut_values = _cut_values(reading, kept, ByIdentity() if values is None else values)

    def config(layer: keras.layers.Layer, found: dict[str, object]) -> None:
        change = reading.book.resizes.get(layer)
        if change is not None:
            change(found, kept)
        names = {
            weight.name
            for weight in getattr(layer, "weights", ())
            if weight in cut_values and cut_values[weight].shape != tuple(weight.shape)
        }
        if names:
            found.update(_without_arrays(found, names))

    return rebuild(
        reading.model,
        lambda layer, copy: copy,
        substitutes=cut_values,
        resized=Resized(config, lambda model: _inputs(reading, kept, model)),
    )


def _without_arrays(config: Mapping[str, object], names: Set[str]) -> dict[str, object]:
    """Return a config whose weights of these names do not start from arrays.

    Those of constants, and of initializers that are not Keras's, may have an entry for each
    channel; the values are copied anyway.
    """
    return {
        key: "zeros" if _starts_from_array(key, value, names)
        # That of a layer in a wrapper lies in the wrapper's.
        else _without_arrays(value, names) if isinstance(value, dict) else value
        for key, value in config.items()
    }


def _starts_from_array(key: str, value: object, names: Set[str]) -> bool:
    of = key.removesuffix("_initializer")
    if of == key or not isinstance(value, dict):
        return False
    if not any(of in name for name in names):
        return False
    if value.get("module") != "keras.initializers":
        return True
    constant = value.get("class_name") == "Constant"
    return constant and np.size(keras.saving.deserialize_keras_object(value).value) > 1


def _cut_values(
    reading: Reading, kept: Kept, values: Mapping[keras.Variable, np.ndarray]
) -> ByIdentity[keras.Variable, np.ndarray]:
    """Return what is left of each weight."""
    left = ByIdentity(values.items())
    done: ByIdentity[keras.Variable, set[int]] = ByIdentity()
    for lies in reading.book.weights:
        weight, axes = lies.weight, done.setdefault(lies.weight, set())
        if lies.axis in axes or not lies.labels.any():
            continue
        axes.add(lies.axis)
        stays = kept.mask(lies.labels)
        if not stays.all():
            value = left[weight] if weight in left else host_array(weight.value)
            left[weight] = np.compress(stays, value, axis=lies.axis)
    return left


def _inputs(reading: Reading, kept: Kept, model: keras.Model) -> object:
    """Return inputs for the copy of a nested model that gets fewer channels; None if it does not.

    What a model's own inputs are is given; only nested models are called with channels.
    """
    labels = reading.inputs.get(model)
    if labels is None or all(kept.mask(found).all() for found in labels):
        return None
    graph = graph_of(model)
    assert graph is not None
    tensors = [
        keras.Input(
            batch_shape=(tensor.shape[0], *_left(tensor.shape[1:], found, kept)),
            dtype=tensor.dtype,
            name=tensor.name,
        )
        for tensor, found in zip(graph.inputs, labels)
    ]
    return keras.tree.pack_sequence_as(structures_of(graph)[0], tensors)


def _left(shape: tuple[int | None, ...], labels: Labels, kept: Kept) -> list[int | None]:
    sizes = list(shape)
    for axis, size in enumerate(labels.shape):
        if size > 1:
            sizes[axis] = kept.count(np.moveaxis(labels, axis, -1).reshape(-1, size)[0])
    return sizes
