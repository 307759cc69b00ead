"""A dictionary for keys that have no hash of their own, such as variables and tensors.

`keras.Variable` compares entry by entry and so cannot be a key; two variables are the same where
they are one object. Layers, operations and symbolic tensors are hashed by identity already: plain
dictionaries and sets do for them.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class ByIdentity(MutableMapping[Key, Value]):
    """A dictionary that tells its keys apart by identity, in the order in which they came.

    It keeps its keys alive, so that no later object is taken for one of them.

    Args:
        items: pairs of a key and its value.

    Example:
        >>> import keras
        >>> a, b = keras.Variable([1.0]), keras.Variable([1.0])
        >>> number = ByIdentity([(a, 1)])
        >>> a in number, b in number, number[a]
        (True, False, 1)
    """

    def __init__(self, items: Iterable[tuple[Key, Value]] = ()):
        self._items: dict[int, tuple[Key, Value]] = {}
        self.update(items)

    def __getitem__(self, key: Key) -> Value:
        return self._items[id(key)][1]

    def __setitem__(self, key: Key, value: Value) -> None:
        self._items[id(key)] = (key, value)

    def __delitem__(self, key: Key) -> None:
        del self._items[id(key)]

    def __iter__(self) -> Iterator[Key]:
        return (key for key, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)


def each_once(items: Iterable[Key]) -> ByIdentity[Key, None]:
    """Return the items without repetitions, as an ordered set: it answers `in`, and iterates.

    Example:
        >>> first, second = [0], [0]
        >>> len(each_once([first, second, first]))
        2
    """
    return ByIdentity((item, None) for item in items)
