"""Loading models, with the code of their own that they need."""

import contextlib
import importlib
import json
import os
import re
import sys
import types
import zipfile
from collections.abc import Sequence

import h5py
import keras

from tfprune.cli import files

_UNKNOWN = re.compile(r"Could not locate (class|function) '([^']+)'|Unknown (\w+): '([^']+)'")
_HOME = re.compile(r"'module': '([\w.]+)', 'class_name': '([^']+)'")


def load(path: str, modules: Sequence[str] = (), allow_lambda: bool = False) -> keras.Model:
    """Return the Keras model, plain or pruned, in a file.

    Args:
        path: name of a .keras, .h5 or .hdf5 file.
        modules: modules with classes and functions that the model needs.
        allow_lambda: whether Lambda layers may run the code that is in the file.

    Raises:
        ValueError: if it is missing, truncated, foreign, holds weights only, or needs code that is
            not there; the message says what to do.
    """
    if files.require_model(path) == ".keras":
        _require_whole(path)
    else:
        _require_model_in_hdf5(path)
    known = {name: value for module in modules for name, value in _own_code(module).items()}
    try:
        return keras.saving.load_model(
            path, custom_objects=known, compile=False, safe_mode=not allow_lambda
        )
    except Exception as error:  # a foreign file can make the reader fail in any way
        raise ValueError(f"{path!r} {_reason(path, error, modules)}") from error


def import_module(name: str) -> types.ModuleType:
    """Return a module of the user, installed or in the current folder.

    Args:
        name: absolute name.

    Raises:
        ValueError: if it cannot be imported.

    Example:
        >>> import_module("json.decoder").__name__
        'json.decoder'
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except Exception as error:  # whatever the module does
        raise ValueError(
            f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _own_code(module: str) -> dict[str, object]:
    """Name -> class or function, of those that belong to the package that a module is part of."""
    package = module.partition(".")[0]
    return {
        name: value
        for name, value in vars(import_module(module)).items()
        if isinstance(value, type | types.FunctionType)
        and value.__module__.partition(".")[0] == package
    }


def _reason(path: str, error: BaseException, modules: Sequence[str]) -> str:
    """What is wrong with a file, and what to do about it where that can be told."""
    text = str(error)
    if unknown := _UNKNOWN.search(text):
        name = unknown[2] or unknown[4]
        homes = (home for home, owner in _HOME.findall(text) if owner == name)
        home = next((home for home in homes if home not in ("__main__", "builtins")), "MODULE")
        where = f"which {' and '.join(modules)} does not define" if modules else "not known here"
        return (
            f"needs {unknown[1] or 'the ' + unknown[3].lower()} {name!r}, {where}: add "
            f"--import {home}, the module that defines it"
        )
    if "lambda" in text and "safe_mode=False" in text:
        return (
            "has a Lambda layer, whose Python code is in the file and would be run: if you trust "
            "it, add --allow-lambda"
        )
    version = _keras_version(path)
    if version.startswith(("0.", "1.", "2.")):
        stem = os.path.splitext(path)[0]
        return (
            f"was written by Keras {version}, and Keras {keras.__version__} cannot read it; to "
            "convert it (pip install tf_keras): "
            f"{files.keras_2_command(path, stem + '-converted.h5')}"
        )
    message = text.rpartition("Exception encountered: ")[2]
    message = re.split(r"\s*(?:Full object config|config=)", message)[0]
    return f"cannot be loaded: {message or type(error).__name__}"


def _keras_version(path: str) -> str:
    """The version of Keras that a .keras file says it was written by; "" for another file."""
    with contextlib.suppress(KeyError, ValueError, zipfile.BadZipFile):
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    return ""


def _require_whole(path: str) -> None:
    """Raise ValueError if a member of a .keras file fails its checksum or has immense arrays."""
    unpacked = 0
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            for member in () if damaged else archive.infolist():
                stored = member.compress_type == zipfile.ZIP_STORED
                if stored and member.filename.endswith(".h5"):
                    with archive.open(member) as content, h5py.File(content) as file:
                        unpacked += _unpacked(file)
    except Exception as error:  # a foreign file can make the reader fail in any way
        raise ValueError(f"{path!r} is no .keras file, or a damaged one: {error}") from error
    if damaged is not None:
        raise ValueError(f"{path!r} is damaged: {damaged} in it fails its checksum")
    files.require_modest(path, unpacked)


def _require_model_in_hdf5(path: str) -> None:
    """Raise ValueError unless an HDF5 file holds a model, not its weights alone."""
    try:
        with h5py.File(path) as file:
            unpacked = _unpacked(file)
            model = "model_config" in file.attrs
            weights = "layer_names" in file.attrs or {"layers", "vars"} & set(file)
    except Exception as error:  # as above
        raise ValueError(f"{path!r} is no HDF5 file, or a damaged one: {error}") from error
    files.require_modest(path, unpacked)
    if not model and not weights:
        raise ValueError(f"{path!r} is an HDF5 file of something else than a Keras model")
    if not model:
        raise ValueError(
            f"{path!r} holds the weights of a model, not its layers; to get a file with both, "
            f"build the model in Python and type: model.load_weights({path!r}); "
            "model.save('model.keras')"
        )


def _unpacked(file: h5py.File) -> int:
    """Bytes of all arrays of an HDF5 file, as their shapes say."""
    sizes: list[int] = []
    file.visititems(lambda _, item: sizes.append(getattr(item, "nbytes", 0)))
    return sum(sizes)
