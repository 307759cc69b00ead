"""Attention: whole heads are removed, and what is compared or mixed along channels is tied."""

import math

import keras
import numpy as np

from tfprune.channels.coupling.call_site import Keeping, Opaque, Shape, Site, place, unlabelled
from tfprune.channels.coupling.ledger import Labels
from tfprune.keras_graph.private_keras import attention_projections
from tfprune.layer_classes.axes import own_weights


def _multi_head(site: Site) -> list[Labels]:
    layer = site.operation
    grouped = hasattr(layer, "num_key_value_heads")
    queries = layer.num_query_heads if grouped else layer.num_heads
    shared = layer.num_key_value_heads if grouped else queries
    heads = site.own("heads", shared)
    by_query = np.repeat(heads, queries // shared)
    query, key, value, output = attention_projections(layer)
    owned = [own for part in (query, key, value, output) for own in own_weights(part)]
    if sum(math.prod(own.weight.shape) for own in owned) != layer.count_params():
        raise Opaque("it has weights beside its four projections, or they are in another form")
    sides = {name: site.argument(name) for name in ("query", "value", "key")}
    if not sides["query"] or not sides["value"]:
        raise Opaque("its query or value is no tensor of the graph")
    if not sides["key"] and site.arguments.get("key") is not None:
        raise Opaque("its key is no tensor of the graph")
    sides["key"] = sides["key"] or sides["value"]
    parts = {"query": (query, by_query), "key": (key, heads), "value": (value, heads)}
    for name, (part, made) in parts.items():
        labels, shape = sides[name][0]
        _project(site, part, shape, site.vector(labels, shape, -1), (1, made))
    size = site.out_shapes[0][-1]
    assert size is not None
    channels = site.own("channels", size)
    last = len(output.kernel.shape) - 1
    _project(site, output, sides["query"][0][1], by_query, (last, channels))
    tokens = {name: sides[name][0][1][:-1] for name in ("query", "key")}
    axes = layer.get_config().get("attention_axes")
    rank = len(tokens["key"]) + 2
    compared = [
        size
        for axis, size in enumerate(tokens["key"], 1)
        if axes is None or axis in axes or axis - rank in axes
    ]
    width = sum(part.kernel.shape[-1] for part in (key, value))
    site.multiply(None, (width, *tokens["query"], *compared), by_query)
    if len(site.out_shapes) > 1:
        site.book.ledger.freeze(heads, f"'{site.name}' returns the scores of its heads")
    for name in ("attention_mask", "attention_bias"):
        scores = len(tokens["query"]) + len(compared) + 2  # axes of them, with batch and heads
        constants = [shape for shape in site.arrays(name) if len(shape) == scores]
        each = any(shape[-1 - 2 * len(compared)] != 1 for shape in constants)
        if each or any(len(shape) > 2 for _, shape in site.argument(name)):
            site.book.ledger.freeze(heads, f"'{site.name}' has a mask for each head")
    if grouped:
        # The projection back takes its width from the query, and Keras wants that of the value.
        query_channels = site.vector(*sides["query"][0], -1)
        site.tie(channels, query_channels)
        site.tie(query_channels, site.vector(*sides["value"][0], -1))

    def change(config: dict[str, object], keeping: Keeping) -> None:
        if grouped:
            config["num_key_value_heads"] = keeping.count(heads)
            config["num_query_heads"] = keeping.count(by_query)
        else:
            config["num_heads"] = keeping.count(heads)
            others = keras.tree.flatten(config["output_shape"])[:-1]
            config["output_shape"] = (*others, keeping.count(channels))

    site.resize(change)
    rank = len(site.out_shapes[0])
    return [place(channels, rank, -1)] + [unlabelled(shape) for shape in site.out_shapes[1:]]


def _project(
    site: Site, part: keras.layers.Layer, shape: Shape, read: Labels, made: tuple[int, Labels]
) -> None:
    """Say whose the kernel (read, made, ...) or (read, ..., made) of a projection is.

    Args:
        site: the call.
        part: the projection, an EinsumDense.
        shape: of the tokens that it is applied to, channels last.
        read: labels along the first axis of the kernel.
        made: the axis of what is made, and its labels.
    """
    axis, labels = made
    rank = len(part.kernel.shape)
    for own in own_weights(part):
        if own.axes.product is None:
            # A bias (heads, size) or (..., channels) has the last axes of the kernel.
            site.weigh(own.weight, axis - rank + len(own.weight.shape), labels)
            continue
        site.multiply(own.weight, shape[:-1])
        site.weigh(own.weight, 0, read, reads=True)
        site.weigh(own.weight, axis, labels, makes=True)


def _dot_product(site: Site) -> list[Labels]:
    """Attention and AdditiveAttention: query and key are compared channel by channel."""
    site.require_tensors(["inputs"])
    query, value = site.along(0, -1), site.along(1, -1)
    count = len(keys) if isinstance(keys := site.arguments.get("inputs"), list | tuple) else 2
    key = site.along(2, -1) if count > 2 else value
    site.tie(query, key)
    for weight in site.operation.weights:
        if len(weight.shape):
            site.weigh(weight, 0, query, reads=True)
    tokens = [size for shape in site.shapes[:2] for size in shape[:-1]]
    for labels in (query, value):
        site.multiply(None, tuple(tokens), labels)
    rest = [unlabelled(shape) for shape in site.out_shapes[1:]]
    return [place(value, len(site.out_shapes[0]), -1), *rest]


RULES = {
    "MultiHeadAttention": _multi_head,
    "GroupQueryAttention": _multi_head,
    "GroupedQueryAttention": _multi_head,
    "Attention": _dot_product,
    "AdditiveAttention": _dot_product,
}
