"""Imports with something added: modules under a second name, and work that waits for a module.

Importing a package that stands on Keras takes seconds, most of them Keras's own, so that such a
package should import it only when it is used. Then its classes are unknown to Keras, which looks up
the classes of a file by name, until something imports them. `after_import` does so as soon as one
of the two is in use.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Path = Sequence[str] | None


class SecondNames(MetaPathFinder):
    """Finds modules under a second name, as the same object.

    Args:
        first_names: second name -> first name, both absolute.

    Example:
        >>> import json.decoder
        >>> sys.meta_path.insert(0, SecondNames({"json.reading": "json.decoder"}))
        >>> import json.reading
        >>> json.reading is json.decoder
        True
        >>> del sys.meta_path[0], sys.modules["json.reading"]
    """

    def __init__(self, first_names: Mapping[str, str]):
        self._first_names = dict(first_names)

    def find_spec(
        self, fullname: str, path: Path = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import `fullname` if it is a second name."""
        first_name = self._first_names.get(fullname)
        return None if first_name is None else ModuleSpec(fullname, _Imported(first_name))


class _Imported(Loader):
    """Gives the module of another name, and leaves what it says about itself as it is."""

    def __init__(self, name: str):
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._name)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own  # the import system has put the spec of the second name there


def after_import(
    awaited: Callable[[str], bool],
    action: Callable[[], None],
    *,
    ready: Callable[[], bool] = lambda: True,
) -> None:
    """Do something once, when the first import of an awaited module is complete.

    Awaited modules that it imports in turn are part of it: the action finds none half imported.

    Args:
        awaited: absolute name of a module -> whether to wait for it. None that has been imported
            already counts.
        action: what to do. An error that it raises is one of the import.
        ready: whether to do it already; where not, the next import of an awaited module asks again.

    Example:
        >>> after_import(lambda name: name == "this", lambda: print("imported"))
        >>> import this
        The Zen of Python...imported
    """
    sys.meta_path.insert(0, _Waiting(awaited, action, ready))


class _Waiting(MetaPathFinder):
    """Finds a module as the other finders do, and calls `action` when it has been executed."""

    def __init__(
        self, awaited: Callable[[str], bool], action: Callable[[], None], ready: Callable[[], bool]
    ):
        self._awaited = awaited
        self._action = action
        self._ready = ready
        self._busy = False

    def find_spec(
        self, fullname: str, path: Path = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self._busy or not self._awaited(fullname):
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            self._attach(spec.loader)
        return spec

    def _attach(self, loader: Loader) -> None:
        """Let this loader, which serves one module, call the action when it is done."""
        execute = loader.exec_module

        def execute_and_act(module: ModuleType) -> None:
            del loader.exec_module  # it is the loader's own again
            self._busy = True
            try:
                execute(module)
            finally:
                self._busy = False
            if self in sys.meta_path and self._ready():
                sys.meta_path.remove(self)
                self._action()

        loader.exec_module = execute_and_act  # type: ignore[method-assign]
