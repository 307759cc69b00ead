"""Moving values between the backend and NumPy."""

from typing import Any

import keras
import numpy as np


def host_array(tensor: Any) -> np.ndarray:
    """Return a backend tensor as a read-only NumPy array, without a copy where memory is shared.

    Tensors in host memory lend their buffer (PEP 3118); others, such as those on a GPU or of a
    type that NumPy lacks, are copied. The array must not be kept across a change of the variable.

    Args:
        tensor: tensor of the active Keras backend, any shape.

    Returns:
        Array of the same shape; bfloat16 comes back as an ml_dtypes array.

    Example:
        >>> host_array(keras.ops.ones((2, 3))).shape
        (2, 3)
    """
    try:
        array = np.asarray(memoryview(tensor))
    except (TypeError, ValueError, BufferError, NotImplementedError):
        return np.asarray(keras.ops.convert_to_numpy(tensor))
    return array.reshape(tuple(tensor.shape))
