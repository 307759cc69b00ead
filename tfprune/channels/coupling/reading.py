"""Read a model: label its channels, call by call, and find out where each of them lies."""

import contextlib
import dataclasses

import keras

from tfprune.channels.coupling import rules
from tfprune.channels.coupling.call_site import Book, Opaque, Shape, Site, unlabelled
from tfprune.channels.coupling.ledger import Labels
from tfprune.keras_graph.calls import called_by, given_to, graph_of
from tfprune.keras_graph.private_keras import (
    Node,
    arguments_of,
    call_behind,
    calls_of,
    shapes_of_outputs,
)
from tfprune.keras_graph.sublayers import has_own_call, is_graph

Shapes = dict[keras.KerasTensor, Shape]  # batch included


@dataclasses.dataclass
class Reading:
    """What reading a model gives.

    Attributes:
        model: that was read.
        book: what was found out.
        inputs: each model (nested ones, too) -> labels of its inputs.
        outputs: each call -> labels of its outputs.
    """

    model: keras.Model
    book: Book
    inputs: dict[keras.Model, list[Labels]]
    outputs: dict[Node, list[Labels]]

    def labels_of_tensors(self) -> dict[keras.KerasTensor, Labels]:
        """Return the labels of every tensor of the graph, those inside of nested models too."""
        found: dict[keras.KerasTensor, Labels] = {}
        for model, labels in self.inputs.items():
            graph = graph_of(model)
            assert graph is not None
            found.update(zip(graph.inputs, labels))
        for node, labels in self.outputs.items():
            found.update(zip(node.output_tensors, labels))
        return found


def read(model: keras.Model) -> Reading:
    """Return where the channels of a model lie.

    Args:
        model: built Sequential or Functional model, pruned or not: wrappers are seen through.

    Raises:
        ValueError: if it has no graph, or a `call` of its own.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
        >>> [(lies.weight.name, lies.axis, lies.labels.tolist())
        ...  for lies in read(model).book.weights if lies.labels.any()][:3]
        [('kernel', 1, [1, 2]), ('bias', 0, [1, 2]), ('kernel', 1, [3])]
    """
    graph = graph_of(model)
    if graph is None:
        raise ValueError(
            "`model` must be a built Sequential or Functional model, whose graph shows what is "
            f"coupled. Received: model={model!r} (of type {type(model).__name__}"
            f"{', with its own `call`' if is_graph(model) and has_own_call(model) else ''})."
        )
    reading = Reading(model, Book(), {}, {})
    inputs = [unlabelled(tuple(tensor.shape[1:])) for tensor in graph.inputs]
    for labels, tensor in zip(_run(reading, model, inputs), graph.outputs, strict=True):
        maker = call_behind(tensor)[0].operation
        reading.book.ledger.freeze(labels, f"the model returns what '{maker.name}' makes")
    reading.book.tie_weights()
    return reading


def _run(
    reading: Reading, model: keras.Model, inputs: list[Labels], shapes: list[Shape] | None = None
) -> list[Labels]:
    """Label what one model makes of its inputs; a nested model is run at each of its calls.

    Args:
        reading: where what is found goes.
        model: with a graph.
        inputs: labels of its inputs.
        shapes: of what comes in, batch included, where lengths are known there that the model
            leaves open.
    """
    graph = graph_of(model)
    assert graph is not None
    ledger = reading.book.ledger
    if model in reading.inputs:  # called before: both calls get what both have
        for before, now in zip(reading.inputs[model], inputs):
            ledger.tie(before, now, model.name)
    reading.inputs.setdefault(model, inputs)
    labels = dict(zip(graph.inputs, inputs))
    known = None if shapes is None else dict(zip(graph.inputs, shapes))
    for node in calls_of(graph):
        if not node.is_input and all(tensor in labels for tensor in node.input_tensors):
            if known is not None:
                known.update(zip(node.output_tensors, shapes_of_outputs(node, known)))
            found = _call(reading, node, [labels[tensor] for tensor in node.input_tensors], known)
            reading.outputs[node] = found
            labels.update(zip(node.output_tensors, found))
    return [labels[tensor] for tensor in graph.outputs]


def _given_labels(
    book: Book, node: Node, graph: keras.Model, inputs: list[Labels]
) -> list[Labels]:
    """Return the labels that come into a nested model, in the order of its inputs."""
    name, labels = node.operation.name, dict(zip(node.input_tensors, inputs))
    given = given_to(node, graph)
    found = []
    for own, tensor in zip(graph.inputs, given):
        found.append(unlabelled(tuple(own.shape[1:])))
        if isinstance(tensor, keras.KerasTensor):
            if len(tensor.shape) == len(own.shape):
                found[-1] = labels[tensor]
            else:
                book.ledger.freeze(labels[tensor], f"'{name}' takes it with another rank")
    for tensor, own_labels in labels.items():
        if not any(tensor is taken for taken in given):
            book.ledger.freeze(own_labels, f"'{name}' reads it as a mask")
    return found


def _given_shapes(node: Node, graph: keras.Model, known: Shapes | None) -> list[Shape] | None:
    """Return the shapes that come into a nested model, where it leaves lengths open."""
    shapes, wanted = [], [tuple(own.shape) for own in graph.inputs]
    for shape, tensor in zip(wanted, given_to(node, graph)):
        if isinstance(tensor, keras.KerasTensor) and len(tensor.shape) == len(shape):
            there = tuple(tensor.shape) if known is None else known[tensor]
            shape = tuple(size or length for size, length in zip(shape, there))
        shapes.append(shape)
    closed = any(shape[1:] != own[1:] for shape, own in zip(shapes, wanted))
    return shapes if closed else None


def _call(
    reading: Reading, node: Node, inputs: list[Labels], known: Shapes | None
) -> list[Labels]:
    book, operation = reading.book, called_by(node)
    graph = graph_of(operation)
    if graph is not None:
        shapes = _given_shapes(node, graph, known)
        return _run(reading, operation, _given_labels(book, node, graph, inputs), shapes)
    out_shapes = [tuple(tensor.shape[1:]) for tensor in node.output_tensors]
    site = Site(
        operation,
        inputs,
        [tuple(tensor.shape[1:]) for tensor in node.input_tensors],
        out_shapes,
        node.input_tensors,
        arguments_of(node, operation),
        book,
    )
    counted = site  # at lengths that are known where a nested model is called
    if known is not None:
        shapes_of = [
            [known[tensor][1:] for tensor in tensors]
            for tensors in (node.input_tensors, node.output_tensors)
        ]
        counted = dataclasses.replace(site, shapes=shapes_of[0], out_shapes=shapes_of[1])
    mark, multiplied = book.mark(), len(book.products)
    try:
        found = rules.apply(site)
        if [labels.ndim for labels in found] != [len(shape) for shape in out_shapes]:
            raise Opaque("it returns tensors without a batch")
    except Opaque as unknown:
        book.back_to(mark)
        del book.products[multiplied:]
        site.note_unknown(unknown)
        rules.count(counted)
        for labels in inputs:
            book.ledger.freeze(labels, f"'{site.name}' reads it, and {unknown}")
        return [unlabelled(shape) for shape in out_shapes]
    if known is not None:
        _count_again(counted, multiplied)
    return found


def _count_again(site: Site, first: int) -> None:
    """Count what a call multiplies, from the book's `first` product on, at the shapes of a site."""
    book = site.book
    before, mark = book.products[first:], book.mark()
    del book.products[first:]
    with contextlib.suppress(Opaque):
        rules.apply(site)
    book.back_to(mark)
    again = book.products[first:]
    if [id(product.kernel) for product in again] != [id(product.kernel) for product in before]:
        book.products[first:] = before
        book.uncounted.append(site.name)
