"""Inputs of many layers, of which no more are in memory at once than a budget allows."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from tfprune.scorers.inputs import LayerInputs


class InputsByParts(Mapping[str, LayerInputs]):
    """Weight name -> what its layer saw, measured part by part, when a part is asked for.

    A part is a run of weights whose moments fit in the budget together, one weight at least; each
    takes a pass over the examples. The part asked for last stays in memory.

    Args:
        shapes: name -> (slices, d) of its moments (slices, d, d), in float64.
        budget: bytes.
        measure: names -> what their layers see.

    Example:
        >>> shapes = {"a": (1, 4), "b": (4, 2), "c": (1, 4)}
        >>> inputs = InputsByParts(shapes, 256, lambda names: dict.fromkeys(names))
        >>> [list(part) for part in inputs.parts]
        [['a', 'b'], ['c']]
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, int]],
        budget: float,
        measure: Callable[[Sequence[str]], Mapping[str, LayerInputs]],
    ):
        self.shapes, self._measure = shapes, measure
        self.parts: list[list[str]] = []
        room = 0.0
        for name, (slices, width) in shapes.items():
            size = 8 * slices * width**2
            if size > room or not self.parts:
                self.parts.append([])
                room = budget
            self.parts[-1].append(name)
            room -= size
        self._present: Mapping[str, LayerInputs] = {}

    def __getitem__(self, name: str) -> LayerInputs:
        if name not in self._present:
            part = next((part for part in self.parts if name in part), None)
            if part is None:
                raise KeyError(name)
            self._present = {}  # gone before its successor comes
            self._present = self._measure(part)
        return self._present[name]

    def __contains__(self, name: object) -> bool:
        return any(name in part for part in self.parts)

    def __iter__(self) -> Iterator[str]:
        return (name for part in self.parts for name in part)

    def __len__(self) -> int:
        return sum(map(len, self.parts))
