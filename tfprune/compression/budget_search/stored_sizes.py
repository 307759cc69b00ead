"""What a weight takes in a file, estimated without writing one.

The encoders of the export say how many bytes a weight takes on its own; what else is in a file, and
what its weights share, is found when one is written, and corrects the sum.
"""

import dataclasses
import zlib

import numpy as np

from tfprune.export.encode import layouts
from tfprune.export.encode.four_bits import four_bit_levels, packed
from tfprune.export.encode.micro.codewords import huffman
from tfprune.export.encode.micro.masks import bit_mask
from tfprune.export.encode.micro.tables import lookup
from tfprune.export.encode.narrowing import int8_channels, int8_weights
from tfprune.targets.target import INTEGER_ARITHMETIC, TARGETS, QuantizeName, TargetName

_WHOLE = 1 << 16  # a weight beyond this many numbers is zipped in part


@dataclasses.dataclass(frozen=True)
class FileKind:
    """How a file is written.

    Attributes:
        target: as in `tfprune.export.to_tflite`.
        quantize: as there.
    """

    target: TargetName
    quantize: QuantizeName | None

    @property
    def in_words(self) -> str:
        """As a user would write it."""
        return f"target={self.target!r}, quantize={self.quantize!r}"

    def numbers(self, value: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return what is stored of a weight, (channels, the rest), and the scales, (channels, 1).

        Args:
            value: of the weight.
            axes: along which each entry is a channel, with a scale of its own.
        """
        matrix = value.transpose(_order(value, axes)).astype(np.float32)
        matrix = matrix.reshape(int(np.prod([value.shape[axis] for axis in axes])), -1)
        one = np.ones((1, 1), np.float32)
        if self.quantize == "float16":
            return matrix.astype(np.float16), one
        if self.quantize == "int4":
            numbers, scales = four_bit_levels(*int8_channels(matrix, 0), 0)
        elif self.quantize is None:
            return matrix, one
        else:
            numbers, scales = int8_weights(matrix, 0)
        return numbers, scales[:, None]

    def rounded(self, value: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        """Return a weight as the file holds it.

        Example:
            >>> FileKind("size", "int8").rounded(np.array([[127.0], [2.6]]), (1,)).ravel().tolist()
            [127.0, 3.0]
        """
        numbers, scales = self.numbers(value, axes)
        order = _order(value, axes)
        shape = [value.shape[axis] for axis in order]
        found = (numbers.astype(np.float32) * scales).reshape(shape)
        return found.transpose(np.argsort(order)).astype(value.dtype)

    def nbytes(self, value: np.ndarray, axes: tuple[int, ...]) -> float:
        """Return the bytes of a weight in the file.

        Example:
            >>> kernel = np.eye(64)
            >>> FileKind("size", "int8_weights").nbytes(kernel, (1,)) < kernel.size / 8
            True
        """
        numbers, _ = self.numbers(value, axes)
        if TARGETS[self.target].in_tflite_micro:
            return _micro_bytes(numbers)
        return min(part.nbytes for part in self._forms(numbers))

    def gzip_bytes(self, value: np.ndarray, axes: tuple[int, ...]) -> float:
        """Return the bytes of a weight in the file after gzip."""
        numbers, _ = self.numbers(value, axes)
        rows = max(1, min(len(numbers), _WHOLE * len(numbers) // numbers.size))
        form = min(self._forms(numbers[:rows]), key=lambda part: part.nbytes)
        return len(zlib.compress(form.tobytes(), 6)) * len(numbers) / rows

    def _forms(self, numbers: np.ndarray) -> list[np.ndarray]:
        """The dense numbers, and the sparse ones with their places, as they lie in the file."""
        if self.quantize == "int4":
            return [packed(numbers.ravel())]
        if self.quantize in INTEGER_ARITHMETIC:
            return [numbers]
        sparse = layouts.smallest(numbers)
        places = np.zeros(sparse.nbytes - sparse.values.nbytes, np.uint8)
        index = sparse.indices.astype(np.uint8)  # of the width that most weights need
        places[: min(index.size, places.size)] = index[: places.size]
        return [numbers, np.concatenate([sparse.values.view(np.uint8), places])]


def _order(value: np.ndarray, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of a weight, those of channels first."""
    return (*axes, *(axis for axis in range(value.ndim) if axis not in axes))


def _micro_bytes(numbers: np.ndarray) -> float:
    """Return the bytes of the smallest of TFLM_DECODE's encodings."""
    codes = [bit_mask(numbers), lookup(numbers), lookup(numbers, axis=0)]
    if numbers.dtype == np.int8:
        codes.append(huffman(numbers))
    return min([numbers.nbytes, *(each.nbytes for each in codes if each is not None)])
