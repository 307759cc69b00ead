"""The weights of a model that the search decides on, and what can be done to each."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence

import keras
import numpy as np

from tfprune.channels.coupling.reading import read
from tfprune.compression.low_rank.factorizable import forms_of
from tfprune.compression.low_rank.forms import Form
from tfprune.compression.output_channels import channel_axes
from tfprune.compression.weight_rules import rules_of
from tfprune.keras_graph.calls import graph_of
from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes.axes import axes_of
from tfprune.layer_classes.prunable import (
    explain_skip,
    may_hide_weights,
    owned_weights,
    prunable_weights,
)
from tfprune.sparsity.contract import Structure
from tfprune.sparsity.rules import first_match
from tfprune.support.arrays import host_array
from tfprune.support.by_identity import ByIdentity
from tfprune.targets.structures import TargetStructures


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """One weight.

    Attributes:
        weight: of the model that is compressed.
        layer: that holds it, such as a recurrent cell.
        axes: along which each entry has a scale of its own in a file.
        multiplied: how often an example is multiplied by it.
        structure: of its zeros; None where it stays dense.
        form: how it becomes two factors; None where it does not.
    """

    weight: keras.Variable
    layer: keras.layers.Layer
    axes: tuple[int, ...]
    multiplied: int
    structure: Structure | None
    form: Form | None

    @property
    def name(self) -> str:
        """The weight's path."""
        return self.weight.path

    @property
    def value(self) -> np.ndarray:
        """What it holds."""
        return host_array(self.weight.value)

    @property
    def multiply_adds(self) -> int:
        """Of one example."""
        return self.value.size * self.multiplied

    @property
    def is_matrix(self) -> bool:
        """Whether kernels of fully connected weights multiply by it."""
        return axes_of(self.layer, self.weight).is_matrix


def require_rules_to_leave(model: keras.Model, rules: Sequence[tuple[str, None]] | None) -> None:
    """Raise unless every rule is (regex, None) and matches a weight."""

    def refuse(name: str, value: object) -> object:
        raise TypeError(f"A rule must be (regex, None), which leaves weights. Received: {value!r}.")

    rules_of(model, rules, refuse)


def left_by_rules(model: keras.Model, rules: Sequence[tuple[str, None]] | None) -> frozenset[str]:
    """Return the paths of the weights that rules leave as they are.

    Args:
        model: built.
        rules: list of (regex, None).
    """

    def nothing(name: str, value: object) -> None:
        return None

    parsed = rules_of(model, rules, nothing)
    return frozenset(w.path for w in model.weights if first_match(parsed, w.path))


def left_out(model: keras.Model) -> tuple[str, ...]:
    """Return in words which weights get no zeros, factors or few values whatever is asked, and why.

    Args:
        model: built, plain.

    Raises:
        ValueError: if it has no weight that any method is for.
    """
    paths = _paths(model)
    found: dict[str, None] = {}
    for layer in outer_layers(model):
        own = owned_weights(layer)
        if not own and may_hide_weights(layer):
            found[f"'{layer.name}': {explain_skip(layer)}"] = None
        found |= {why: None for _, weight in own if (why := _why_left(weight, paths))}
    if not prunable_weights(model):
        reasons = sorted({explain_skip(layer) for layer in outer_layers(model)})
        raise ValueError(
            f"`model` must have kernels to compress. Received: model '{model.name}', of which "
            f"{'; '.join(reasons) or 'no layer has weights'}."
        )
    return tuple(found)


def _paths(model: keras.Model) -> Counter[str]:
    return Counter(weight.path for weight in model.weights)


def _why_left(weight: keras.Variable, paths: Counter[str]) -> str:
    """Return why a weight stays whatever is asked, "" if it need not."""
    if paths[weight.path] > 1:
        return f"'{weight.path}' is the path of {paths[weight.path]} weights"
    return "" if weight.trainable else f"'{weight.path}' is frozen"


def places_of(
    model: keras.Model,
    structures: TargetStructures,
    methods: Collection[str],
    rules: Sequence[tuple[str, None]] | None,
) -> list[Place]:
    """Return the weights that may change.

    Weights that are frozen, shared by layers of the same path, or left by a rule are not among
    them.

    Args:
        model: built, plain.
        structures: of zeros that the target can use.
        methods: what may be done.
        rules: list of (regex, None).
    """
    left = left_by_rules(model, rules)
    forms: dict[keras.layers.Layer, Form | str] = {}
    if "rank" in methods and graph_of(model) is not None:
        forms = forms_of(model, "spatial")
    factored = ByIdentity((form.weight, form) for form in forms.values() if isinstance(form, Form))
    multiplied: ByIdentity[keras.Variable, int] = ByIdentity()
    for product in read(model).book.products if graph_of(model) is not None else ():
        if product.kernel is not None:
            multiplied[product.kernel] = multiplied.get(product.kernel, 0) + product.places
    wanted: ByIdentity[keras.Variable, Structure | None] = ByIdentity()
    if "pruning" in methods:
        wanted.update(zip(prunable_weights(model), structures.assign(model), strict=True))
    paths = _paths(model)
    found: ByIdentity[keras.Variable, Place] = ByIdentity()
    for layer in outer_layers(model):
        for part, weight in owned_weights(layer):
            if _why_left(weight, paths) or weight in found or weight.path in left:
                continue
            found[weight] = Place(
                weight,
                part,
                channel_axes(part, weight),
                multiplied.get(weight, 0),
                wanted.get(weight),
                factored.get(weight),
            )
    return list(found.values())
