"""The original with the channels that go set to zero: what a cut model must agree with."""

from collections.abc import Callable, Mapping

import keras
import numpy as np

from tfprune.channels.coupling.ledger import Labels
from tfprune.channels.coupling.reading import Reading
from tfprune.channels.kept import Kept
from tfprune.keras_graph.calls import given_to, graph_of
from tfprune.keras_graph.private_keras import (
    Node,
    arguments_of,
    called_again,
    calls_of,
    inputs_in_order,
    set_timestep_mask,
    timestep_mask,
)
from tfprune.layer_classes.prunable import flatten
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity, each_once
from tfprune.support.tensors import Nest, Tensor

See = Callable[[Node, list[Tensor]], None]


def gated(
    reading: Reading,
    kept: Kept,
    inputs: Nest,
    values: Mapping[keras.Variable, np.ndarray] | None = None,
    see: See | None = None,
) -> list[np.ndarray]:
    """Return the outputs of the original without the channels that go.

    They are zero wherever a layer reads them, and the rows of weights that read them are zero, too,
    for channels that never leave their layer (units of a recurrent state, heads). Removal leaves
    the same, but for what `Settled.blurred` says.

    Args:
        reading: of the model, which is not changed.
        kept: channels.
        inputs: a batch, in the nest that the model takes.
        values: weight -> value in place of its own.
        see: called with each call of the graph and what goes into it.

    Returns:
        Outputs, flat.

    Raises:
        ValueError: if nothing is left of the inputs before the end.
    """
    changed = ByIdentity(() if values is None else values.items())
    for lies in reading.book.weights:
        if lies.reads and not (stays := kept.mask(lies.labels)).all():
            value = changed.get(lies.weight, host_array(lies.weight.value))
            shape = [-1 if axis == lies.axis else 1 for axis in range(value.ndim)]
            changed[lies.weight] = np.where(stays.reshape(shape), value, 0).astype(value.dtype)
    mapping = [
        (weight, keras.ops.convert_to_tensor(changed[weight], dtype=weight.dtype))
        for weight in reading.model.weights
        if weight in changed
    ]
    graph = graph_of(reading.model)
    assert graph is not None
    tensors = [keras.ops.convert_to_tensor(item) for item in inputs_in_order(graph, inputs)]
    with keras.StatelessScope(state_mapping=[*mapping, *at_rest(reading.model)]):
        outputs = _run(reading, kept, reading.model, tensors, see)
    return [host_array(output) for output in outputs]


def at_rest(model: keras.Model) -> list[tuple[keras.Variable, Tensor]]:
    """Return the states of a model that are none of its weights, and zeros for them."""
    own = each_once(model.weights)
    states = [
        state
        for layer in flatten(model)
        for state in keras.tree.flatten(getattr(layer, "states", None) or ())
        if isinstance(state, keras.Variable) and state not in own
    ]
    return [(state, keras.ops.zeros(state.shape, state.dtype)) for state in each_once(states)]


def _run(
    reading: Reading, kept: Kept, model: keras.Model, inputs: list[Tensor], see: See | None
) -> list[Tensor]:
    graph = graph_of(model)
    assert graph is not None
    values = dict(zip(graph.inputs, inputs))
    for node in calls_of(graph):
        if node.is_input or not all(tensor in values for tensor in node.input_tensors):
            continue
        taken = [values[tensor] for tensor in node.input_tensors]
        if see is not None:
            see(node, taken)
        nested = graph_of(node.operation)
        if nested is not None:
            found = _run(reading, kept, node.operation, _given(node, nested, values), see)
        else:
            found = called_again(node, node.operation, values)
            labels = reading.outputs[node]
            found = [_zeroed(value, own, kept) for value, own in zip(found, labels)]
            if any(0 in value.shape for value in found):  # kernels make garbage of it
                raise ValueError(
                    f"`inputs` must be long enough for '{model.name}'. Received: inputs of which "
                    f"'{node.operation.name}' makes {[tuple(value.shape) for value in found]}."
                )
        values.update(zip(node.output_tensors, found))
    return [values[tensor] for tensor in graph.outputs]


def _given(
    node: Node, nested: keras.Model, values: Mapping[keras.KerasTensor, Tensor]
) -> list[Tensor]:
    """Return what a nested model is called with, with the timestep masks that it is given."""
    found = []
    for own, tensor in zip(nested.inputs, given_to(node, nested)):
        value = values[tensor] if isinstance(tensor, keras.KerasTensor) else tensor
        value = keras.ops.convert_to_tensor(value)
        if len(value.shape) > len(own.shape):  # as Keras does with a last axis of one
            value = keras.ops.squeeze(value, axis=-1)
        elif len(value.shape) < len(own.shape):
            value = keras.ops.expand_dims(value, axis=-1)
        found.append(value)
    masks = keras.tree.flatten(arguments_of(node).get("mask"))
    if all(mask is None for mask in masks):
        return found
    inputs = [keras.ops.copy(value) for value in found[: len(masks)]]
    for value, before, mask in zip(inputs, found, masks):
        given = values[mask] if isinstance(mask, keras.KerasTensor) else mask
        set_timestep_mask(value, timestep_mask(before) if given is None else given)
    return inputs


def _zeroed(value: Tensor, labels: Labels, kept: Kept) -> Tensor:
    stays = kept.mask(labels)
    if stays.all():
        return value
    # A product would keep what has no value at zero, such as 0 / 0 of channels that are gone.
    zeroed = keras.ops.where(stays[np.newaxis], value, keras.ops.zeros_like(value))
    set_timestep_mask(zeroed, timestep_mask(value))
    return zeroed
