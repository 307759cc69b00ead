"""Moving values between the backend and NumPy."""

import keras
import numpy as np

from tfprune.support.tensors import Tensor


def host_array(tensor: Tensor | np.ndarray | keras.Variable) -> np.ndarray:
    """Return a backend tensor as a read-only NumPy array, without a copy where memory is shared.

    Tensors in host memory lend their buffer (PEP 3118); others, such as those on a GPU or of a
    type that NumPy lacks, are copied. The array must not be kept across a change of the variable.

    Args:
        tensor: tensor of the active Keras backend, any shape.

    Returns:
        Array of the same shape and dtype; bfloat16, which NumPy lacks, becomes float32, exactly.

    Example:
        >>> host_array(keras.ops.ones((2, 3))).shape
        (2, 3)
    """
    # TensorFlow hands out variables, which lend no buffer; passing through an operation reads them.
    tensor = keras.ops.stop_gradient(tensor)
    try:
        array = np.asarray(memoryview(tensor))
    except (TypeError, ValueError, BufferError, NotImplementedError):
        return np.asarray(keras.ops.convert_to_numpy(_in_numpy_dtype(tensor)))
    return array.reshape(tuple(tensor.shape))


def assign_copy(variable: keras.Variable, value: Tensor) -> None:
    """Give a variable a value in memory of its own.

    JAX would have it share the buffer of the variable that the value is of, and training the one
    would delete it for the other.

    Example:
        >>> first, second = keras.Variable([1.0]), keras.Variable([2.0])
        >>> assign_copy(first, second.value)
        >>> host_array(first.value).tolist()
        [2.0]
    """
    variable.assign(keras.ops.copy(value))


def known_integer(tensor: Tensor) -> int | None:
    """Return a scalar as an integer; None inside a compiled function, where it has no value.

    Example:
        >>> known_integer(keras.ops.convert_to_tensor(3))
        3
    """
    try:
        return int(host_array(tensor))
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None


def _in_numpy_dtype(tensor: Tensor) -> Tensor:
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        return keras.ops.cast(tensor, "float32")
    return tensor


def symbolic(value: object) -> object:
    """Return a `keras.KerasTensor` in the place of a tensor or array, anything else as it is.

    Example:
        >>> symbolic(np.ones((2, 3), "float32")).shape, symbolic(True)
        ((2, 3), True)
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return keras.KerasTensor(value.shape, keras.backend.standardize_dtype(value.dtype))
    return value
