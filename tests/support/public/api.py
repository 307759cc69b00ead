"""What is public, found rather than listed: functions, constructors and methods with parameters."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

import tfprune

MODULES = (
    "tfprune",
    *(f"tfprune.{name}" for name in tfprune.__all__ if inspect.ismodule(getattr(tfprune, name))),
    "tfprune.compat.tfmot",
)
# What the package makes and hands out: nobody calls these constructors, but their methods.
RESULTS = {
    "ChannelPlan",
    "CompressionPlan",
    "Cost",
    "Coverage",
    "ExportReport",
    "FactorizationReport",
    "GroupPlan",
    "Inspection",
    "Latency",
    "LayerCoverage",
    "LayerFactors",
    "OneShotReport",
    "Report",
    "Sensitivity",
    "StageResult",
    "Timing",
}
# Methods that Keras itself calls, with what it likes, but for those that users call too.
_KERAS = (keras.layers.Layer, keras.callbacks.Callback)
_CALLED_BY_USERS = {"set_model"}
# Methods that the package calls, with objects of its own.
_CALLED_BY_US = {"of_channels"}


def public_callables() -> dict[str, tuple[Any, str | None]]:
    """Name -> (function or class, name of the method); None for a function or a constructor."""
    found: dict[str, tuple[Any, str | None]] = {}
    seen: set[int] = set()
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.ismodule(value) or not _is_ours(value) or id(value) in seen:
                continue
            seen.add(id(value))
            short = f"{module_name.removeprefix('tfprune').strip('.')}.{name}".strip(".")
            if not inspect.isclass(value):
                found[short] = (value, None)
            elif not (inspect.isabstract(value) or getattr(value, "_is_protocol", False)):
                if name not in RESULTS:
                    found[short] = (value, None)
                found |= {f"{short}.{method}": (value, method) for method in _methods(value)}
    return {name: place for name, place in found.items() if parameters(*place)}


def parameters(owner: Any, method: str | None) -> dict[str, inspect.Parameter]:
    """Name -> parameter; `self` and what goes on to Keras by `**kwargs` are left out."""
    function = owner if method is None else getattr(owner, method)
    named = dict(inspect.signature(function).parameters)
    if method is not None and not inspect.ismethod(function):
        named.pop("self")
    return {n: p for n, p in named.items() if p.kind is not p.VAR_KEYWORD}


def called(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call with arguments by name; those of `*names` follow the others."""
    signature = inspect.signature(function).parameters.values()
    several = next((p.name for p in signature if p.kind is p.VAR_POSITIONAL), None)
    if several is None:
        return function(**arguments)
    before = [p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD]
    return function(*(arguments[name] for name in before), *arguments[several])


def _methods(owner: type) -> Iterator[str]:
    for name in dir(owner):
        holder = next(part for part in owner.__mro__ if name in vars(part))
        hidden = (name.startswith("_") and name != "__call__") or name in _CALLED_BY_US
        if hidden or not _is_ours(holder) or not inspect.isroutine(getattr(owner, name)):
            continue
        of_keras = any(issubclass(owner, base) and hasattr(base, name) for base in _KERAS)
        if not of_keras or name in _CALLED_BY_USERS:
            yield name


def _is_ours(value: Any) -> bool:
    return callable(value) and str(getattr(value, "__module__", "")).startswith(tfprune.__name__)
