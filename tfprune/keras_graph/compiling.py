"""Compile settings of a model, given to a copy of it."""

import warnings

import keras

from tfprune.keras_graph.copying import also_known, custom_classes
from tfprune.keras_graph.private_keras import compiled_metrics

_BY_CONFIG = ("compile_from_config", "get_compile_config")


def compile_like(model: keras.Model, copy: keras.Model, what: str, *, stacklevel: int = 3) -> None:
    """Compile a copy as the model is: the same losses, fresh metrics, a fresh optimizer.

    The optimizer is built, as that of a model loaded from a file: Keras warns of the file of a
    model whose optimizer is not.

    Args:
        model: the original; nothing is done where it is not compiled, or by a `compile` of its
            own, which Keras can call only where there is a `compile_from_config`, too.
        copy: a model of the same outputs.
        what: the copy is, for the warning.
        stacklevel: of the warning.

    Warns:
        UserWarning: if the settings cannot be written down, and the copy is not compiled.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5), "mse")
        >>> copy = keras.models.clone_model(model)
        >>> compile_like(model, copy, "The copy")
        >>> float(copy.optimizer.learning_rate), copy.loss
        (0.5, 'mse')
    """
    if not model.compiled or _is_own(model, "compile") and not _is_own(model, *_BY_CONFIG):
        return
    measured = [part for part in compiled_metrics(model) if not isinstance(part, str)]
    classes = [
        part if hasattr(part, "__name__") else type(part) for part in [model.optimizer, *measured]
    ]
    own = {part.__name__: part for part in classes}
    try:
        with also_known({**own, **custom_classes(model)}):
            if _is_own(model, *_BY_CONFIG):
                copy.compile_from_config(model.get_compile_config())
            else:
                _compile(model, copy)
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        warnings.warn(
            f"{what} of '{model.name}' has to be compiled again: its compile settings cannot be "
            f"written down ({reason}).",
            stacklevel=stacklevel + 1,
        )


def _is_own(model: keras.Model, *names: str) -> bool:
    """Return whether the class of the model has any of these methods in a form of its own."""
    return any(getattr(type(model), name) is not getattr(keras.Model, name) for name in names)


def _compile(model: keras.Model, copy: keras.Model) -> None:
    # The losses themselves are taken: functions without a name cannot be written down.
    settings = {**model.get_compile_config(), "loss": None}
    settings = keras.saving.deserialize_keras_object(settings)
    copy.compile(**{**settings, "loss": model.loss})
    copy.optimizer.build(copy.trainable_variables)
