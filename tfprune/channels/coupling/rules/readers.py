"""Which axis of a tensor holds channels for the layers that read it.

A rule sees one call. Where it may choose along which axis channels lie, what follows decides.
"""

from tfprune.channels.coupling.call_site import channel_axis, kind_of
from tfprune.channels.coupling.rules.elementwise import KEEPING_PLACES
from tfprune.keras_graph.private_keras import Operation, readers_of

_OVER_POSITIONS = tuple("""
    Conv SeparableConv DepthwiseConv MaxPooling AveragePooling GlobalMaxPooling
    GlobalAveragePooling ZeroPadding Cropping UpSampling
    """.split())
_LAST = """
    BatchNormalization GroupNormalization LSTM GRU SimpleRNN Bidirectional
    MultiHeadAttention GroupQueryAttention GroupedQueryAttention Attention AdditiveAttention
    """.split()


def reads_last_axis(operation: Operation) -> bool:
    """Return whether a reader of what an operation returns has channels on the last axis.

    What computes each place from itself is passed through.

    Example:
        >>> import keras
        >>> shape = keras.layers.Reshape((2, 2, 3))
        >>> x = keras.layers.ReLU()(shape(keras.Input((12,))))
        >>> before, _ = reads_last_axis(shape), keras.layers.Conv2D(4, 1)(x)
        >>> before, reads_last_axis(shape)
        (False, True)
    """
    seen = {operation}
    waiting = [operation]
    while waiting:
        for reader in readers_of(waiting.pop()):
            kind = kind_of(reader)
            if kind in _LAST or (kind.startswith(_OVER_POSITIONS) and channel_axis(reader) == -1):
                return True
            if kind in KEEPING_PLACES and reader not in seen:
                seen.add(reader)
                waiting.append(reader)
    return False
