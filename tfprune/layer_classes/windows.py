"""Where the positions of a convolution's kernel lie on its input, as tables of indices."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Windows:
    """The geometry of a convolution, one entry a spatial axis.

    Attributes:
        size: positions of the kernel.
        strides, dilations: as in Keras.
        padding: "valid", "same" or "causal".
        channels_first: whether inputs are (batch, channels, ...) instead of (batch, ..., channels).
        output_sizes: spatial sizes of the input -> those of the output, of a transposed convolution
            (the gradient of a convolution); None for others.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: str
    channels_first: bool = False
    output_sizes: Callable[[Sequence[int]], Sequence[int]] | None = None

    @classmethod
    def of(cls, layer: keras.layers.Layer, kernel: keras.Variable) -> "Windows":
        """Return those of a layer or cell whose kernel has its positions on all but two axes.

        Example:
            >>> import keras
            >>> layer = keras.layers.Conv2D(4, (3, 1), strides=2)
            >>> layer.build((None, 8, 8, 2))
            >>> windows = Windows.of(layer, layer.kernel)
            >>> windows.size, windows.strides, windows.padding, windows.channel_axis
            ((3, 1), (2, 2), 'valid', -1)
        """
        size = tuple(kernel.shape[:-2])
        strides, dilations = (_each(x, len(size)) for x in (layer.strides, layer.dilation_rate))
        first = layer.data_format == "channels_first"
        return cls(size, strides, dilations, layer.padding, first)

    @classmethod
    def transposed(cls, layer: keras.layers.Layer, kernel: keras.Variable) -> "Windows":
        """Return those of a transposed convolution, whose kernel has its input channels last."""
        found, channels = cls.of(layer, kernel), kernel.shape[-1]

        def output_sizes(sizes: Sequence[int]) -> Sequence[int]:
            if found.channels_first:
                return layer.compute_output_shape((1, channels, *sizes))[2:]
            return layer.compute_output_shape((1, *sizes, channels))[1:-1]

        return dataclasses.replace(found, output_sizes=output_sizes)

    @classmethod
    def plain(cls, layer: keras.layers.Layer, kernel: keras.Variable) -> "Windows":
        """Return those of a kernel whose stride is 1, whatever the layer's other kernel has."""
        size = tuple(kernel.shape[:-2])
        ones = (1,) * len(size)
        return cls(size, ones, ones, "same", layer.data_format == "channels_first")

    @property
    def channel_axis(self) -> int:
        """The axis of the channels of the input and of the output."""
        return 1 if self.channels_first else -1

    @property
    def is_single(self) -> bool:
        """Whether every output position sees the input position at the same place alone."""
        return set(self.size) | set(self.strides) <= {1}

    def tables(self, sizes: Sequence[int]) -> list[np.ndarray]:
        """Return a table a spatial axis, as `window_table` makes them, for an input of these sizes.

        Example:
            >>> Windows((2,), (2,), (1,), "valid").tables([4])[0].tolist()
            [[0, 1], [2, 3]]
        """
        axes = zip(sizes, self.size, self.strides, self.dilations)
        if self.output_sizes is None:
            return [
                window_table(size, kernel, stride=stride, padding=self.padding, dilation=dilation)
                for size, kernel, stride, dilation in axes
            ]
        return [
            transposed_table(
                size, kernel, output, stride=stride, padding=self.padding, dilation=dilation
            )
            for (size, kernel, stride, dilation), output in zip(axes, self.output_sizes(sizes))
        ]


def window_table(
    size: int, kernel: int, *, stride: int = 1, padding: str = "valid", dilation: int = 1
) -> np.ndarray:
    """Return the input index that each kernel position sees at each output position.

    Args:
        size: entries of the input along this axis.
        kernel: positions of the kernel.
        stride, dilation: as in Keras.
        padding: "valid", "same" or "causal".

    Returns:
        (output positions, kernel) integers in [0, size]; `size` stands for padding.

    Example:
        >>> window_table(4, 3, stride=2, padding="same")
        array([[0, 1, 2],
               [2, 3, 4]])
    """
    span = (kernel - 1) * dilation + 1
    if padding == "valid":
        count, before = (size - span) // stride + 1, 0
    else:
        count = -(-size // stride)
        # An odd number of padded entries leaves the larger half at the end.
        before = max((count - 1) * stride + span - size, 0) // 2
    if padding == "causal":
        before = span - 1
    index = np.arange(count)[:, None] * stride + np.arange(kernel) * dilation - before
    return np.where((index >= 0) & (index < size), index, size)


def transposed_table(
    size: int, kernel: int, output: int, *, stride: int, padding: str, dilation: int
) -> np.ndarray:
    """Return `window_table` of a transposed convolution, the gradient of a convolution.

    Output o gets input i through kernel position k where o = i * stride + k * dilation - before.

    Args:
        size, output: entries of the input and of the output along this axis.
        kernel, stride, padding, dilation: as in `window_table`; no "causal".

    Example:
        >>> transposed_table(2, 2, 4, stride=2, padding="valid", dilation=1).tolist()
        [[0, 2], [2, 0], [1, 2], [2, 1]]
    """
    span = (kernel - 1) * dilation + 1
    before = max((size - 1) * stride + span - output, 0) // 2 if padding == "same" else 0
    offset = np.arange(output)[:, None] + before - np.arange(kernel) * dilation
    index, rest = np.divmod(offset, stride)
    return np.where((rest == 0) & (index >= 0) & (index < size), index, size)


def _each(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)
