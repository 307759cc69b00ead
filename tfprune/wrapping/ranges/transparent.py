"""TransparentLayer: a wrapper that Keras calls, builds and asks for shapes as it does its layer."""

from typing import Any

import keras

from tfprune.keras_graph.private_keras import take_call_signature
from tfprune.support.arrays import symbolic
from tfprune.support.tensors import Nest
from tfprune.support.validation import require_layer


class TransparentLayer(keras.layers.Wrapper):
    """What `PrunedLayer`, `RangedLayer` and the mark of `tfprune.compat` have in common.

    Args:
        layer: the wrapped layer, built or not.
        name: defaults to the name of the layer.

    Example:
        >>> TransparentLayer(keras.layers.Dense(3)).units
        3
    """

    def __init__(self, layer: keras.layers.Layer, *, name: str | None = None):
        require_layer("layer", layer)
        # Inputs and variables reach the wrapped layer as they came: it does its own casting.
        options = {"dtype": layer.variable_dtype, "autocast": False, "trainable": layer.trainable}
        super().__init__(layer, name=name or layer.name, **options)
        self.supports_masking = True  # the wrapped layer warns if it does not
        take_call_signature(self, layer)

    def __call__(self, *args: Nest, **kwargs: Nest) -> Nest:
        if not self.built:
            # A symbolic call builds every kind of layer, those that create state in `call` too.
            with keras.name_scope(self.name, caller=self):
                positional, named = keras.tree.map_structure(symbolic, (args, kwargs))
                self.layer(*positional, **named)
        return super().__call__(*args, **kwargs)

    def call(self, *args: Nest, **kwargs: Nest) -> Nest:
        return self.layer(*args, **kwargs)

    def symbolic_call(self, *args: Nest, **kwargs: Nest) -> Nest:
        return self.layer(*args, **kwargs)

    def compute_output_spec(self, *args: Nest, **kwargs: Nest) -> Nest:
        return self.layer.compute_output_spec(*args, **kwargs)

    def compute_output_shape(self, *args: Nest, **kwargs: Nest) -> Nest:
        return self.layer.compute_output_shape(*args, **kwargs)

    def compute_mask(self, inputs: Nest, previous_mask: Nest) -> Nest:
        """Return the timestep mask of the wrapped layer."""
        if not self.layer.supports_masking:
            return None
        return self.layer.compute_mask(inputs, previous_mask)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "layer" not in self.__dict__:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return getattr(self.__dict__["layer"], name)

    def get_build_config(self) -> None:
        """Return None: the layer's own config builds it, or the first call does."""
