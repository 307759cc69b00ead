"""What is measured of models, and what a results file says of where it was measured."""

import importlib.metadata
import os
import platform
from typing import Any

import keras
import numpy as np

import tfprune
from tfprune.layer_classes.prunable import prunable_weights

_ALL = ("numpy", "scipy")


class Evaluator:
    """Test accuracy of models of one architecture, with the prediction traced only once.

    Args:
        model: any model of that architecture; it is not changed.
        x: (n, ...) inputs.
        y: (n,) integer labels.
        batch_size: inputs predicted at a time.
    """

    def __init__(self, model: keras.Model, x: np.ndarray, y: np.ndarray, *, batch_size: int = 500):
        self._model = keras.models.clone_model(model)
        self._x, self._y = x, y
        self._batch_size = batch_size

    def __call__(self, model: keras.Model) -> float:
        """Return the fraction of examples that a plain model classifies correctly."""
        self._model.set_weights(model.get_weights())
        logits = self._model.predict(self._x, batch_size=self._batch_size, verbose=0)
        return float(np.mean(logits.argmax(-1) == self._y))


def kernels(model: keras.Model) -> list[np.ndarray]:
    """Return the weights that can be pruned."""
    return [weight.numpy() for layer in model.layers for weight in prunable_weights(layer)]


def zeros(model: keras.Model) -> float:
    """Return the fraction of zeros among the weights that can be pruned."""
    arrays = kernels(model)
    return 1 - sum(map(np.count_nonzero, arrays)) / sum(array.size for array in arrays)


def machine() -> dict[str, Any]:
    """Return system, processor and cores of this machine, and the accelerator that trains on it."""
    own = {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}
    device = accelerator()
    return own if device is None else {**own, "accelerator": device}


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of what trains with it."""
    found = {"python": platform.python_version(), "tfprune": tfprune.__version__}
    backend = keras.backend.backend()
    return found | {name: importlib.metadata.version(name) for name in ("keras", backend, *_ALL)}


def accelerator() -> str | None:
    """Return the name of the accelerator that JAX computes on; None for a CPU and TensorFlow."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    device = jax.devices()[0]
    return None if device.platform == "cpu" else device.device_kind


def where() -> str:
    """Return the backend that trains, its version, and the device it computes on.

    Example:
        >>> where().split()[0] == keras.backend.backend()
        True
    """
    backend, device = keras.backend.backend(), accelerator()
    place = "a CPU" if device is None else f"an {device}"
    return f"{backend} {importlib.metadata.version(backend)} on {place}"


def runtime_versions() -> dict[str, str]:
    """Return the versions of what runs .tflite files."""
    import ai_edge_litert

    from tfprune.export.run import wasm

    return {"ai_edge_litert": ai_edge_litert.__version__, "LiteRT.js": wasm.VERSION}


def threads() -> int:
    """Return the number of threads that one TensorFlow operation may use."""
    if keras.backend.backend() != "tensorflow":
        return os.cpu_count() or 1
    import tensorflow as tf

    asked = int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0"))
    return tf.config.threading.get_intra_op_parallelism_threads() or asked or os.cpu_count() or 1
