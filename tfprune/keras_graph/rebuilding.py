"""Rebuilding a model with other layers in the places of its layers.

Sequential and Functional models are cloned along their graph. A subclassed model is recreated from
its config, and the layers in its attributes are replaced there. Values, ties and shared layers are
carried over; the original is only read.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras

from tfprune.keras_graph.chains import Chain, Chains, sequential
from tfprune.keras_graph.copying import (
    ChangeConfig,
    also_known,
    copy_layer,
    copy_values,
    custom_classes,
    explaining,
    frozen_like,
    in_class_of,
    in_order_of,
    with_own_call,
)
from tfprune.keras_graph.insertion import Insertion, cloned_with
from tfprune.keras_graph.recipes import is_pruned_class, plain_config
from tfprune.keras_graph.sublayers import children, is_graph, reach, swap_child, unwrapped
from tfprune.layer_classes.prunable import flatten
from tfprune.support.arrays import assign_copy
from tfprune.support.by_identity import ByIdentity, each_once
from tfprune.support.tensors import Nest, Tensor
from tfprune.wrapping.pruned_layer import PrunedLayer, pruned_layers
from tfprune.wrapping.ranges.activation_range import ActivationRange
from tfprune.wrapping.ranges.ranged_layer import RangedLayer

Transform = Callable[[keras.layers.Layer, keras.layers.Layer], keras.layers.Layer]


@dataclasses.dataclass(frozen=True)
class Resized:
    """How a copy differs in size from its original.

    Attributes:
        config: writes other sizes into the config of a layer.
        inputs: model -> symbolic inputs of its copy, in the nest of its own; None for its own.
    """

    config: ChangeConfig
    inputs: Callable[[keras.Model], object]


def outer_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model that are wrapped as one: all that are not models, each once.

    Ranges of activations, which stand between layers, are left out.

    Example:
        >>> inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="a")])
        >>> [layer.name for layer in outer_layers(keras.Sequential([keras.Input((3,)), inner]))]
        ['a']
    """
    found: dict[keras.layers.Layer, None] = {}
    members = model.layers if is_graph(model) else [layer for _, layer in children(model)]
    for layer in members:
        inside = outer_layers(layer) if isinstance(layer, keras.Model) else [layer]
        found.update(dict.fromkeys(inside))
    apart = keras.layers.InputLayer | ActivationRange
    return [layer for layer in found if not isinstance(layer, apart)]


def rebuild(
    model: keras.Model,
    transform: Transform,
    *,
    substitutes: Mapping[keras.Variable, Tensor] | None = None,
    on_subclassed: Callable[[keras.Model, keras.Model], None] = lambda model, copy: None,
    resized: Resized | None = None,
    chains: Chains | None = None,
    keep_ranges: bool = False,
    insertion: Insertion | None = None,
) -> keras.Model:
    """Return a new model in which `transform(layer, copy)` stands for every layer that is no model.

    Args:
        model: built model; `PrunedLayer`s in it are replaced by copies of the layers they wrap.
        transform: (original layer, its copy) -> the layer to use, usually the copy itself or a
            wrapper around it.
        substitutes: variable of `model` -> value to give its copy in place of its own.
        on_subclassed: called with (original, copy) for each outermost subclassed model, when the
            layers of the copy have been replaced.
        resized: how the copy differs in size; `substitutes` have the sizes of the copy.
        chains: layer of a graph -> what stands for it in place of a copy; see
            `tfprune.keras_graph.replacing`, which checks them.
        keep_ranges: whether ranges of activations stay, between layers and inside them.
        insertion: what is put between the layers of models that have a graph.

    Returns:
        A model of the same classes and names that shares no variable with `model`.

    Raises:
        ValueError: if a layer or model cannot be copied; the message says what to add.
    """
    with also_known(custom_classes(model)):
        rebuilder = _Rebuilder(
            model, transform, on_subclassed, resized, chains or {}, keep_ranges, insertion
        )
        new = rebuilder.rebuild(model)
    given = ByIdentity() if substitutes is None else substitutes
    for source, twin in rebuilder.pairs:
        copy_values(
            source,
            twin,
            _paired_variables(source, twin, same_shapes=resized is None),
            lambda variable: given.get(variable, variable.value),
        )
    for layer, chain in rebuilder.chains.items():
        chain.fill(layer.trainable)
    return new


class _Rebuilder:
    """One pass over a model: what stands for each layer, and whose values go where."""

    def __init__(
        self,
        model: keras.Model,
        transform: Transform,
        on_subclassed: Callable[[keras.Model, keras.Model], None],
        resized: Resized | None,
        chains: Chains,
        keep_ranges: bool,
        insertion: Insertion | None,
    ):
        self.keep_ranges = keep_ranges
        self._wrappers = PrunedLayer if keep_ranges else PrunedLayer | RangedLayer
        self.insertion = insertion
        self.transform = transform
        self.chains = chains
        self.resized = resized
        self.on_subclassed = on_subclassed
        self.pairs: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
        self._placed: dict[keras.layers.Layer, keras.layers.Layer] = {}
        self._copies: dict[keras.layers.Layer, keras.layers.Layer] = {}
        self._chain_of: dict[keras.layers.Layer, Chain] = {}  # of what holds its place in a graph
        outer = outer_layers(model)
        self._outer = {key: x for x in outer for key in (x, unwrapped(x, self._wrappers))}

    def rebuild(self, model: keras.Model) -> keras.Model:
        if is_graph(model):
            return self._clone_graph(model)
        copy = _copy_subclassed(model)
        self._replace_children(model, copy)
        self.on_subclassed(model, copy)
        return frozen_like(model, copy)

    def _clone_graph(self, model: keras.Model) -> keras.Model:
        inputs = self.resized.inputs(model) if self.resized else None
        if self.chains and isinstance(model, keras.Sequential):
            parts = [part for layer in model.layers for part in self._parts(layer)]
            return with_own_call(model, sequential(model, parts, inputs))
        with uncompiled(model):
            ranged = any(isinstance(layer, ActivationRange) for layer in model.layers)
            if self.insertion or (ranged and not self.keep_ranges):
                new = cloned_with(model, self.place, self.insertion, drop=ActivationRange)
            else:
                new = keras.models.clone_model(
                    model,
                    input_tensors=inputs,
                    clone_function=self.place,
                    call_function=self._call if self.chains else None,
                )
        return frozen_like(model, in_class_of(model, new))

    def place(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """Return what stands for `layer` in the new graph, the same object every time."""
        if layer not in self._placed:
            if layer in self.chains:
                self._placed[layer] = placeholder = keras.layers.Identity()
                self._chain_of[placeholder] = self.chains[layer]
            elif isinstance(layer, keras.Model):
                self._placed[layer] = self.rebuild(layer)
            elif not isinstance(layer, keras.layers.Layer):
                self._placed[layer] = self._copied(layer)  # an operation such as `x + y`
            elif isinstance(layer, ActivationRange):
                self._placed[layer] = self._copied(layer)
                if self.keep_ranges:
                    self.pairs.append((layer, self._placed[layer]))
            else:
                self._placed[layer] = self._place_outer(layer)
        return self._placed[layer]

    def _parts(self, layer: keras.layers.Layer) -> Sequence[keras.layers.Layer]:
        placed = self.place(layer)
        return self._chain_of[placed].layers if placed in self._chain_of else [placed]

    def _call(self, layer: keras.layers.Layer, *args: Nest, **kwargs: Nest) -> Nest:
        return self._chain_of.get(layer, layer)(*args, **kwargs)

    def _copied(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        return copy_layer(layer, self.resized.config) if self.resized else copy_layer(layer)

    def _place_outer(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        source = unwrapped(layer, self._wrappers)
        copy = self._copied(source)
        self._copies[layer] = self._copies[source] = copy
        self.pairs.append((source, copy))
        # A layer may hold another layer of the model (tied weights): its copy holds the copy.
        for path, child in children(source):
            if child in self._outer:
                self.place(self._outer[child])
                with explaining(source):
                    twin = reach(copy, path)
                swap_child(copy, twin, self._copies[child])
        for owner in flatten(copy):
            for _, child in list(children(owner)):
                if isinstance(child, PrunedLayer):
                    swap_child(owner, child, child.layer)
        return self.transform(layer, copy)

    def _replace_children(self, model: keras.Model, copy: keras.Model) -> None:
        found = list(children(model))
        inside = each_once(v for _, child in found for v in child.variables)
        own = [variable for variable in model.variables if variable not in inside]
        for path, child in found:
            with explaining(model):
                twin = reach(copy, path)
            if child not in self._placed:
                self._placed[child] = self._stand_in(child, twin)
            if twin is not self._placed[child]:
                swap_child(copy, twin, self._placed[child])
        kept = each_once(v for _, child in children(copy) for v in child.variables)
        for source, twin in zip(own, [v for v in copy.variables if v not in kept]):
            assign_copy(twin, source.value)

    def _stand_in(self, child: keras.layers.Layer, twin: keras.layers.Layer) -> keras.layers.Layer:
        if is_graph(child):
            return self.rebuild(child)
        if isinstance(child, keras.Model):
            self._replace_children(child, twin)
            return frozen_like(child, twin)
        source, copy = (unwrapped(each, self._wrappers) for each in (child, twin))
        self.pairs.append((source, copy))
        return self.transform(child, copy)


@contextlib.contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """Hide from Keras how the model is compiled.

    A copy is compiled anew by the user; carrying the settings over would also fail for losses and
    metrics that cannot be serialized.
    """
    compiled = model.compiled
    model.compiled = False
    try:
        yield
    finally:
        model.compiled = compiled


def _copy_subclassed(model: keras.Model) -> keras.Model:
    with explaining(model):
        if is_pruned_class(model):
            copy = keras.saving.deserialize_keras_object(plain_config(model))
        else:
            copy = type(model).from_config(model.get_config())
            copy.build_from_config(model.get_build_config())
    _paired_variables(model, copy)
    copy.built = True  # so that compiling creates the optimizer's variables, as for graph models
    return frozen_like(model, copy)


def _plain_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Variables without those that pruning added."""
    added = each_once(own for wrapper in pruned_layers(layer) for own in wrapper.added)
    return [variable for variable in layer.variables if variable not in added]


def _paired_variables(
    source: keras.layers.Layer, copy: keras.layers.Layer, *, same_shapes: bool = True
) -> list[tuple[keras.Variable, keras.Variable]]:
    """Return each variable with its copy; raise ValueError where they do not correspond."""
    wanted = _plain_variables(source)
    got = in_order_of(wanted, _plain_variables(copy))
    alike = [tuple(v.shape) for v in got] == [tuple(v.shape) for v in wanted]
    if not (alike if same_shapes else len(got) == len(wanted)):
        raise ValueError(
            f"'{source.name}' of class {type(source).__name__} cannot be copied: its copy has "
            f"{len(got)} variables instead of {len(wanted)}. Add a `build(self, input_shape)` (or "
            "`get_build_config` and `build_from_config`) that creates all variables, and a "
            "`get_config` that returns every constructor argument."
        )
    return list(zip(wanted, got))
