"""The quantization functions of tensorflow-model-optimization 0.8.1, over Keras 3.

What comes out of `quantize_apply` is a model of `tfprune.quantize_aware(activations=True)`:
`tfprune.strip_pruning` and `to_tflite` take it, and so does the converter itself. What differs:

- A quantized layer keeps its name, whatever `quantized_layer_name_prefix` says.
- Batch normalization is not replaced: it trains as it did, and the converter folds it.
- LSTM, GRU and attention are known, too; what is not known stays in float32 with a warning, where
  the other package refuses the whole model.
- Models in models work. Zeros stay zero. Weights of other than 8 bits come by a `QuantizeConfig`.
"""

import contextlib
from functools import partial
from typing import Any, cast

import keras

from tfprune.compat.quantizers import QuantizeConfig, Quantizer
from tfprune.compat.schemes import (
    Default8BitClusterPreserveQuantizeScheme,
    Default8BitQuantizeScheme,
)
from tfprune.compression.clustering.kept_levels import LevelsKept, settle
from tfprune.compression.quantization import ChannelQuantizer, check_model, rounded
from tfprune.compression.range_placement import Outputs, RangePlacement
from tfprune.export.convert import copies
from tfprune.keras_graph.copying import also_known
from tfprune.keras_graph.private_keras import (
    first_input_shape,
    functional_class,
    set_first_input_shape,
)
from tfprune.keras_graph.rebuilding import rebuild
from tfprune.keras_graph.sublayers import is_graph
from tfprune.layer_classes.prunable import flatten, owned_weights
from tfprune.support.configurable import Config
from tfprune.support.tensors import OfTensor
from tfprune.support.validation import require_layer, require_model
from tfprune.wrapping.ranges.transparent import TransparentLayer


@keras.saving.register_keras_serializable("tfprune_tfmot")
class QuantizeAnnotate(TransparentLayer):
    """A layer that is to be quantized; it computes what the layer does.

    Args:
        layer, quantize_config: as `quantize_annotate_layer` takes them.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        quantize_config: QuantizeConfig | None = None,
        *,
        name: str | None = None,
    ):
        super().__init__(layer, name=name)
        self.quantize_config = quantize_config
        shape = first_input_shape(layer)
        if shape is not None:
            set_first_input_shape(self, shape)

    def get_config(self) -> Config:
        serialize = keras.saving.serialize_keras_object
        config = {"layer": serialize(self.layer), "name": self.name}
        return {**config, "quantize_config": serialize(self.quantize_config)}

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: Config | None = None
    ) -> "QuantizeAnnotate":
        deserialize = keras.saving.deserialize_keras_object
        return cls(**{k: deserialize(v, custom_objects=custom_objects) for k, v in config.items()})


@keras.saving.register_keras_serializable("tfprune_tfmot")
class ConfigQuantizer:
    """Rounds the weights of a layer as a `QuantizeConfig` says; `quantizer` of a `PrunedLayer`."""

    def __init__(self, config: QuantizeConfig):
        self.config = config

    def assign(self, layer: keras.layers.Layer) -> list[OfTensor]:
        """Return the rounding of each prunable weight of a layer; others stay as they are."""
        inner = next(part for part in flatten(layer) if not isinstance(part, keras.layers.Wrapper))
        chosen = self.config.get_weights_and_quantizers(inner)
        found: list[OfTensor] = []
        for part, weight in owned_weights(layer):
            quantizer = next((q for variable, q in chosen if variable is weight), None)
            found.append(_unchanged if quantizer is None else _rounding(quantizer, part, weight))
        return found

    def get_config(self) -> Config:
        return {"config": keras.saving.serialize_keras_object(self.config)}

    @classmethod
    def from_config(cls, config: Config) -> "ConfigQuantizer":
        return cls(keras.saving.deserialize_keras_object(config["config"]))


def _unchanged(value: Any) -> Any:
    return value


def _rounding(quantizer: Quantizer, layer: keras.layers.Layer, weight: keras.Variable) -> OfTensor:
    holder = keras.layers.Layer(name=f"{layer.name}_quantizer")
    weights = quantizer.build(weight.shape, weight.name, holder)
    return partial(quantizer, training=True, weights=weights)


def quantize_annotate_layer(
    to_annotate: keras.layers.Layer, quantize_config: QuantizeConfig | None = None
) -> QuantizeAnnotate:
    """Mark one layer to be quantized by `quantize_apply`.

    Args:
        to_annotate: any layer that is no model.
        quantize_config: how it is quantized; None for the default.

    Raises:
        TypeError, ValueError: if an argument is of another kind.

    Example:
        >>> quantize_annotate_layer(keras.layers.Dense(2)).layer.units
        2
    """
    require_layer("to_annotate", to_annotate)
    if isinstance(to_annotate, keras.Model):
        raise ValueError(
            "`to_annotate` must be a layer that is no model; use `quantize_annotate_model`. "
            f"Received: to_annotate={to_annotate.name!r}."
        )
    if quantize_config is not None and not isinstance(quantize_config, QuantizeConfig):
        raise TypeError(
            "`quantize_config` must be a QuantizeConfig. "
            f"Received: quantize_config={quantize_config!r}."
        )
    return QuantizeAnnotate(to_annotate, quantize_config)


def quantize_annotate_model(to_annotate: keras.Model) -> keras.Model:
    """Mark every layer of a model to be quantized, but those that are marked already.

    Args:
        to_annotate: Sequential or Functional.

    Raises:
        TypeError, ValueError: if it is anything else.
    """
    _require_graph("to_annotate", to_annotate)

    def annotated(layer: Any) -> Any:
        plain = isinstance(layer, keras.layers.Layer) and not isinstance(
            layer, QuantizeAnnotate | keras.Model | keras.layers.InputLayer
        )
        return quantize_annotate_layer(layer) if plain else layer

    if isinstance(to_annotate, keras.Sequential) and not to_annotate.built:
        return keras.Sequential([annotated(layer) for layer in to_annotate.layers])
    return keras.models.clone_model(to_annotate, clone_function=annotated)


def quantize_apply(
    model: keras.Model,
    scheme: Default8BitQuantizeScheme | None = None,
    quantized_layer_name_prefix: str | None = "quant_",
) -> keras.Model:
    """Return a model that trains with the marked layers rounded.

    Args:
        model: with layers of `quantize_annotate_layer` or `quantize_annotate_model`, built.
        scheme: `Default8BitQuantizeScheme()`, or None for it, or one of those of
            `tfmot.experimental.combine`. Zeros stay zeros with any.
        quantized_layer_name_prefix: taken as there; layers keep their names.

    Returns:
        A model of copied weights, not compiled.

    Raises:
        TypeError, ValueError: if an argument is of another kind, the model is not built, or no
            layer is marked.
    """
    _require_graph("model", model)
    if scheme is not None and not isinstance(scheme, Default8BitQuantizeScheme):
        raise TypeError(
            f"`scheme` must be a Default8BitQuantizeScheme or None. Received: scheme={scheme!r}."
        )
    if not model.built:
        raise ValueError(
            f"`model` must be built: give it a keras.Input. Received: model={model.name!r}."
        )
    configs: dict[keras.layers.Layer, QuantizeConfig | None] = {}

    def plain(layer: keras.layers.Layer, copy: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, QuantizeAnnotate):
            return copy
        configs[copy.layer] = layer.quantize_config
        return copy.layer

    own = [part for part in flatten(model) if isinstance(part, QuantizeAnnotate)]
    known = {type(part.quantize_config).__name__: type(part.quantize_config) for part in own}
    with also_known(known):
        copy = rebuild(model, plain)
        if not configs:
            raise ValueError(
                "`model` must have a layer that is marked with `quantize_annotate_layer` or "
                f"`quantize_annotate_model`. Received: model={model.name!r}."
            )
        check_model(copy)
        outputs = {layer: _outputs(layer, config) for layer, config in configs.items()}
        placement = RangePlacement(copy, outputs)
        keep = isinstance(scheme, Default8BitClusterPreserveQuantizeScheme)
        aware = rounded(copy, partial(_quantizer, configs, keep_levels=keep), placement)
        settle(aware)
    return _converting(aware)


def quantize_model(
    to_quantize: keras.Model, quantized_layer_name_prefix: str | None = "quant_"
) -> keras.Model:
    """Return a model that trains with all its layers rounded; arguments as of `quantize_apply`.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="last")])
        >>> [layer.name for layer in quantize_model(model).layers]
        ['range_of_input_0', 'last', 'range_after_last']
    """
    _require_graph("to_quantize", to_quantize)
    annotated = quantize_annotate_model(to_quantize)
    return quantize_apply(annotated, quantized_layer_name_prefix=quantized_layer_name_prefix)


def quantize_scope(*args: dict[str, Any]) -> contextlib.AbstractContextManager[object]:
    """Return a scope in which models with these objects beside tfprune's own can be read."""
    return also_known({name: item for objects in args for name, item in objects.items()})


def _require_graph(name: str, value: object) -> None:
    model = require_model(name, value, built=False)
    if not is_graph(model):
        raise ValueError(
            f"`{name}` must be a Sequential or Functional model. Received: {name}={model.name!r} "
            f"of class {type(model).__name__}."
        )


def _quantizer(
    configs: dict[keras.layers.Layer, QuantizeConfig | None],
    layer: keras.layers.Layer,
    keep_levels: bool,
) -> ChannelQuantizer | ConfigQuantizer | LevelsKept | None:
    if layer not in configs:
        return None
    config = configs[layer]
    if config is not None:
        return ConfigQuantizer(config)
    return LevelsKept.of(layer, ChannelQuantizer()) if keep_levels else ChannelQuantizer()


def _outputs(layer: keras.layers.Layer, config: QuantizeConfig | None) -> Outputs:
    if config is None:
        return Outputs()
    after = [quantizer for _, quantizer in config.get_activations_and_quantizers(layer)]
    after += config.get_output_quantizers(layer)
    bits = [getattr(quantizer, "num_bits", 8) for quantizer in after]
    return Outputs(rounded=bool(bits), bits=min(bits, default=8))


class _ForConverter:
    """Gives its weights as constants to TensorFlow's converter, which asks for `__call__` by name.

    Calls such as `model(x)` do not ask: Python looks in the class.
    """

    def __getattribute__(self, name: str) -> Any:
        if name == "__call__" and copies.runs_eagerly():
            return copies.constant_call(cast(keras.Model, self))
        return super().__getattribute__(name)


@keras.saving.register_keras_serializable("tfprune_tfmot")
class QuantizedSequential(_ForConverter, keras.Sequential):
    """A Sequential model of `quantize_apply`; what is rebuilt of it is none any more."""

    plain_class = keras.Sequential


@keras.saving.register_keras_serializable("tfprune_tfmot")
class QuantizedFunctional(_ForConverter, functional_class()):  # type: ignore
    """A Functional model of `quantize_apply`; what is rebuilt of it is none any more."""

    plain_class = functional_class()


def _converting(model: keras.Model) -> keras.Model:
    kind = QuantizedSequential if isinstance(model, keras.Sequential) else QuantizedFunctional
    model.__class__ = kind
    return model
