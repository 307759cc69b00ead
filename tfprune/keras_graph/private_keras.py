"""Every private name of Keras that tfprune uses, but for those of the wrapper.

Keras 3 has no public way to do these things (as of 3.15). Each has a contract test, which runs with
the lowest and the newest Keras that setup.cfg allows. This module imports nothing of tfprune.
"""

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import keras
from keras.src.backend import get_keras_mask, set_keras_mask
from keras.src.backend.common import global_state, stateless_scope
from keras.src.losses.loss import scale_loss_for_distribution
from keras.src.ops.node import Node
from keras.src.ops.operation import Operation

__all__ = ["Node", "Operation"]  # types that Keras has no public name for


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layer and all its sublayers, at every depth, each once.

    Keras turns the order of sublayers around at every level. A wrapper with the attribute
    `keeps_order` has those of its layer in the order in which that has them by itself.
    """
    found = list(layer._flatten_layers())
    if vars(layer).get("keeps_order"):
        inner = sublayers(layer.layer)
        return [layer, *inner, *(part for part in found[1:] if part not in inner)]
    return found


@cache
def functional_class() -> type:
    """Return the class of Functional models, `keras.Model(inputs, outputs)`."""
    tensor = keras.Input((1,))
    return type(keras.Model(tensor, keras.layers.Identity()(tensor)))


def functional_of(sequential: keras.Sequential) -> keras.Model | None:
    """Return the Functional model inside a Sequential one; None before it is built."""
    return sequential._functional


def calls_of(functional: keras.Model) -> Iterator[Node]:
    """Yield the nodes of a Functional model, one a call, in the order in which they run.

    A layer's own list of calls would include those in other models.
    """
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        yield from functional._nodes_by_depth[depth]


def readers_of(operation: Any) -> list[Operation]:
    """Return what was called with an output of an operation, one entry a call, in any model."""
    return [node.operation for node in operation._outbound_nodes]


def call_behind(tensor: Any) -> tuple[Node, int]:
    """Return the call that made a symbolic tensor, and the tensor's place among its outputs."""
    operation, node, place = tensor._keras_history
    return operation._inbound_nodes[node], place


def arguments_of(node: Any, operation: Any = None) -> dict[str, Any]:
    """Return name -> what a node's operation was called with, symbolic tensors as they are.

    Args:
        node: of a Functional model.
        operation: whose names they are; what the node's own one wraps, if not that itself.
    """
    given = node.arguments
    signature = inspect.signature((node.operation if operation is None else operation).call)
    return dict(signature.bind(*given.args, **given.kwargs).arguments)


def called_again(
    node: Node, operation: Operation, values: Mapping[keras.KerasTensor, Any]
) -> list[Any]:
    """Call `operation` as the node calls its own, in inference, and return its outputs, flat.

    Args:
        node: of a Functional model.
        operation: what is called.
        values: tensor of the graph -> what takes its place.
    """
    args, kwargs = node.arguments.fill_in(
        {id(tensor): values[tensor] for tensor in node.input_tensors}
    )
    if "training" in inspect.signature(operation.call).parameters:
        kwargs = {**kwargs, "training": False}  # as Keras does, whatever the call in the graph says
    return keras.tree.flatten(operation(*args, **kwargs))


def shapes_of_outputs(
    node: Node, shapes: Mapping[keras.KerasTensor, tuple[int | None, ...]]
) -> list[tuple[int | None, ...]]:
    """Return the shapes that a call's outputs would have, with those of its input tensors."""
    given = {
        id(tensor): keras.KerasTensor(shapes[tensor], dtype=tensor.dtype)
        for tensor in node.input_tensors
    }
    args, kwargs = node.arguments.fill_in(given)
    made = node.operation.compute_output_spec(*args, **kwargs)
    return [tuple(tensor.shape) for tensor in keras.tree.flatten(made)]


def structures_of(functional: keras.Model) -> tuple[Any, Any]:
    """Return the nests in which a Functional model takes inputs and returns outputs."""
    return functional._inputs_struct, functional._outputs_struct


def inputs_in_order(functional: Any, given: Any) -> list[Any]:
    """Return what a Functional model is called with, one for each of its inputs, in their order.

    Keras finds what a dictionary has for a list of inputs by their names.
    """
    structure = functional._inputs_struct
    if isinstance(given, dict) and not isinstance(structure, dict):
        return [given[tensor.name] for tensor in keras.tree.flatten(structure)]
    return keras.tree.flatten(given)[: len(functional.inputs)]


def attention_projections(layer: Any) -> tuple[Any, Any, Any, Any]:
    """Return the projections of query, key, value and output of an attention layer with heads."""
    return layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense


def attention_mask_of(layer: Any, query: Any, value: Any, **masks: Any) -> Any:
    """Return the one mask that an attention layer makes of all that it is given; None for none."""
    return layer._compute_attention_mask(query, value, **masks)


def attention_dropout(layer: Any, shares: Any, *, training: bool | None) -> Any:
    """Return the attention shares after the layer's own dropout."""
    return layer._dropout_layer(shares, training=training)


def is_plain_attention(layer: Any) -> bool:
    """Return whether attention with heads runs over one axis, without gates or windows."""
    axes = layer._attention_axes
    special = [getattr(layer, name, None) for name in ("_use_gate", "_sliding_window")]
    return not any(special) and (axes is None or tuple(axes) == (1,))


def in_training(layer: Any) -> bool:
    """Return whether a layer is being called to train, inside its `call`."""
    return bool(layer._get_call_context().get_value("training"))


def take_call_signature(wrapper: Any, layer: Any) -> inspect.Signature:
    """Present the signature of the wrapped `call`, so that Keras routes arguments as to it.

    Keras reads the signature of `call` once, in `Layer.__init__`, to route `training`, timestep
    masks and several tensor inputs. `call(*args, **kwargs)` would hide all of that.
    """
    signature = layer._call_signature
    wrapper._call_signature = signature
    wrapper.call_signature_parameters = list(signature.parameters)
    wrapper._call_has_training_arg = "training" in signature.parameters
    wrapper._call_has_mask_arg = "mask" in signature.parameters
    wrapper._call_has_context_arg = {
        name: name in signature.parameters for name in wrapper._call_context_args
    }
    wrapper._allow_non_tensor_positional_args = True
    return signature


@contextlib.contextmanager
def replaced_sublayer(
    owner: keras.layers.Layer, old: keras.layers.Layer, new: keras.layers.Layer
) -> Iterator[None]:
    """Put `new` in the place of `old` in the list of sublayers, which a built layer has locked.

    Inside the context the list is not locked, so that attributes can be set to layers.
    """
    tracker = owner._tracker
    locked = tracker.locked
    tracker.unlock()
    if tracker.is_in_store("layers", old):
        if tracker.is_in_store("layers", new):
            tracker.untrack(old)
        else:
            tracker.replace_tracked_value("layers", old, new)
    yield
    if locked:
        tracker.lock()


def scoped_objects() -> dict[str, object]:
    """Return name -> object of the `custom_object_scope` that the caller is in."""
    return dict(global_state.get_global_attribute("custom_objects_scope_dict", {}))


def output_shape_of(layer: keras.layers.Lambda) -> object:
    """Return the `output_shape` that a Lambda layer was made with."""
    return layer._output_shape


def timestep_mask(tensor: object) -> Any:
    """Return the timestep mask that Keras has hung on a tensor, None if there is none.

    Tensors that take no attributes, such as those that JAX traces, have theirs in a table.
    """
    return get_keras_mask(tensor)


def set_timestep_mask(tensor: Any, mask: object) -> None:
    """Hang a timestep mask on a tensor, so that layers it is given to take it into account."""
    if mask is not None:
        set_keras_mask(tensor, mask)


def divided_among_replicas(loss: Any) -> Any:
    """Return a mean over the examples of a replica, as they are summed up over all replicas."""
    return scale_loss_for_distribution(loss)


def compiled_loss_weights(model: keras.Model) -> Sequence[float] | Mapping[str, float] | None:
    """Return the `loss_weights` given to `compile`, None where there are none.

    The public way to read them back serializes the loss, which a loss of one's own may not allow.
    """
    return getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)


def compiled_metrics(model: keras.Model) -> list[Any]:
    """Return the metrics given to `compile`, weighted ones too, flat: objects, functions, names."""
    given = getattr(model, "_compile_metrics", None)
    names = ("_user_metrics", "_user_weighted_metrics")
    found = keras.tree.flatten([getattr(given, name, None) for name in names])
    return [metric for metric in found if metric is not None]


def set_first_input_shape(layer: keras.layers.Layer, shape: object) -> None:
    """Put `shape` where Sequential looks for the shape of its first layer's input."""
    layer._input_shape_arg = shape


def in_stateless_scope() -> bool:
    """Return whether values that are assigned now go to a `keras.StatelessScope` alone."""
    return bool(stateless_scope.in_stateless_scope())


def set_path(variable: keras.Variable, path: str) -> None:
    """Give a variable the path that rules and reports know it by.

    Example:
        >>> variable = keras.Variable(0.0, name="a")
        >>> set_path(variable, "layer/a")
        >>> variable.path
        'layer/a'
    """
    variable._path = path


def first_input_shape(layer: keras.layers.Layer) -> object:
    """Return the `input_shape` that a layer was made with, None if there is none."""
    return getattr(layer, "_input_shape_arg", None)


def model_in_training(callback: keras.callbacks.Callback) -> keras.Model:
    """Return a callback's model as it is: `callback.model` would write JAX's state back first."""
    return callback._model


def write_back_jax_state(model: Any, state: Sequence[Any]) -> None:
    """Give a model in training on JAX the values of a state, as its training step returns it."""
    names = ("trainable", "non_trainable", "optimizer", "metrics")
    model._jax_state = {f"{name}_variables": part for name, part in zip(names, state, strict=True)}
    model._jax_state_synced = False
    model.jax_state_sync()


def train_writer(callback: keras.callbacks.TensorBoard) -> Any:
    """Return the writer of a TensorBoard callback's training summaries."""
    return callback._train_writer


def trained_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the variables that an optimizer was built for, in the order of its state of them.

    Example:
        >>> variable, optimizer = keras.Variable(0.0), keras.optimizers.SGD()
        >>> optimizer.build([variable])
        >>> trained_variables(optimizer)[0] is variable
        True
    """
    return list(optimizer._trainable_variables)
