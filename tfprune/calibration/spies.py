"""Methods of layers replaced for a while, to see what they are called with."""

import contextlib
from collections.abc import Iterator

import keras

_MISSING = object()


@contextlib.contextmanager
def replaced(layer: keras.layers.Layer, **values: object) -> Iterator[None]:
    """Set attributes of the instance behind the back of Keras's tracker, and put them back.

    Args:
        layer: any layer.
        **values: attribute -> value while the block runs.

    Example:
        >>> layer = keras.layers.Dropout(0.5)
        >>> with replaced(layer, rate=0.25):
        ...     layer.rate
        0.25
        >>> layer.rate
        0.5
    """
    own = vars(layer)
    before = {name: own.get(name, _MISSING) for name in values}
    try:
        for name, value in values.items():
            object.__setattr__(layer, name, value)
        yield
    finally:
        for name, value in before.items():
            if value is _MISSING:
                object.__delattr__(layer, name)
            else:
                object.__setattr__(layer, name, value)
