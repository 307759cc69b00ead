"""The names in a converted file: those of Keras's layers and weights.

TensorFlow names each tensor by the scopes that it was made in, the model's own first. Keras enters
the scope of a layer twice in a call, and TensorFlow numbers names that come again: what the layer
`lstm` makes is under `lstm_1`, and what a layer `lstm_1` makes under `lstm_1_2`. So a number at the
end is dropped wherever the rest is the name of a layer; a test holds Keras to that. The converter
joins the names of operations that it fuses by ";", and calls some constants `arith.constant`: they
are named after what reads them.
"""

import re

import keras

from tfprune.export.file.constants import inputs_of
from tfprune.export.file.subgraph import Subgraph, subgraphs
from tfprune.export.file.tables import Model, Operator
from tfprune.layer_classes.prunable import flatten

_NUMBERED = re.compile(r"(.+?)(?:_\d+)$")
_LOOPS = ("while",)


class _Layers:
    """The layers of a Keras model, by the paths of their scopes."""

    def __init__(self, model: keras.Model) -> None:
        self._names = {layer.name for layer in flatten(model)}
        self._variables: dict[str, list[keras.Variable]] = {}
        for variable in model.variables:
            owner = variable.path.split("/")[:-1]
            for begin in range(len(owner)):
                self._variables.setdefault("/".join(owner[begin:]), []).append(variable)

    def translated(self, scope: str) -> str:
        """A scope in Keras's names, without the model's own."""
        parts = [self._layer(part) or part for part in scope.split("/")]
        return "/".join(parts[1:] if len(parts) > 1 else parts)

    def owner(self, scope: str) -> str:
        """The path of the innermost layer in a scope; empty where there is none."""
        # First comes the model, last an operation, which may be called as a layer is.
        parts = [part for part in scope.split("/")[1:-1] if part not in _LOOPS]
        path: list[str] = []
        for part in parts:
            name = self._layer(part)
            if name is None:
                break
            path.append(name)
        return "/".join(path)

    def variables(self, path: str, size: int) -> list[keras.Variable]:
        """The variables of a layer that have so many elements.

        The paths of variables begin at the model or inside of it: a layer that was built on its
        own does not know the models around it.
        """
        parts = path.split("/")
        for begin in range(len(parts)):
            found = self._variables.get("/".join(parts[begin:]))
            if found is not None:
                return [v for v in found if keras.ops.size(v.value) == size]
        return []

    def _layer(self, part: str) -> str | None:
        numbered = _NUMBERED.fullmatch(part)
        if numbered and numbered[1] in self._names:
            return numbered[1]
        return part if part in self._names else None


def rename(model: Model, source: keras.Model) -> None:
    """Names weights as Keras does, and other tensors by the first of their joined names.

    Args:
        model: A converted model, changed in place. The names of its inputs and outputs stay.
        source: The Keras model that it was converted from.
    """
    layers = _Layers(source)
    for number, subgraph in enumerate(subgraphs(model)):
        kept = set() if number else {*subgraph.inputs, *subgraph.outputs}
        named = _weights(subgraph, layers)
        for index, tensor in enumerate(subgraph.table.tensors):
            if index in named:
                tensor.name = named[index].encode()
            elif index not in kept:
                first = subgraph.name(index).split(";", maxsplit=1)[0]
                tensor.name = layers.translated(first).encode()


def _weights(subgraph: Subgraph, layers: _Layers) -> dict[int, str]:
    """Index of a constant that is a weight or a bias -> its name."""
    readers = subgraph.readers()
    named: dict[int, str] = {}
    for operator in subgraph.operators:
        weight, bias = inputs_of(subgraph, operator)
        if weight is None or weight in named or subgraph.constant(weight) is None:
            continue
        name = _weight(subgraph, operator, weight, layers)
        if name is None:
            continue
        named[weight] = name
        if bias is not None and len(readers[bias]) == 1 and subgraph.constant(bias) is not None:
            named.setdefault(bias, f"{name.rpartition('/')[0]}/bias")
    return named


def _weight(subgraph: Subgraph, operator: Operator, index: int, layers: _Layers) -> str | None:
    size = subgraph.values(index).size
    scopes = [
        scope
        for tensor in (index, int(operator.outputs[0]))
        for scope in subgraph.name(tensor).split(";")
    ]
    for scope in scopes:
        path = layers.owner(scope)
        found = [v for v in layers.variables(path, size) if len(v.shape) > 1] if path else []
        if found:
            # Of several as large, such as the kernels of a cell, operations follow their order.
            numbered = re.search(r"_(\d+)$", scope)
            place = int(numbered[1]) if numbered and len(found) > 1 else 0
            return f"{path}/{found[min(place, len(found) - 1)].name}"
    return next((layers.translated(s) for s in scopes if layers.owner(s)), None)
