"""The equation of an EinsumDense layer, "abc,cde->abde": which axes its kernel has in common."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Equation:
    """An equation of two operands, its labels in order; "..." may stand in the input and output.

    Attributes:
        inputs: labels of the input.
        kernel: labels of the kernel.
        output: labels of the output.

    Example:
        >>> Equation.parse("ab, bc -> ac")
        Equation(inputs='ab', kernel='bc', output='ac')
    """

    inputs: str
    kernel: str
    output: str

    @classmethod
    def parse(cls, text: str) -> "Equation":
        """Return the parts of "inputs,kernel->output", spaces left out."""
        operands, output = text.replace(" ", "").split("->")
        inputs, kernel = operands.split(",")
        return cls(inputs, kernel, output)

    def reads(self) -> tuple[tuple[int, int], ...]:
        """Return (axis of the kernel, axis of the input) of the labels that both have.

        Example:
            >>> Equation.parse("a...bc,cd->a...bd").reads()
            ((0, -1),)
        """
        return self._shared(self.inputs)

    def writes(self) -> tuple[tuple[int, int], ...]:
        """Return (axis of the kernel, axis of the output) of the labels that both have."""
        return self._shared(self.output)

    def bias_writes(self, bias_axes: str, rank: int) -> tuple[tuple[int, int], ...]:
        """Return (axis of the bias, axis of the output) of the axes that are not of size 1 for all.

        Args:
            bias_axes: as EinsumDense takes them, labels of the output.
            rank: axes of the bias, which are the last ones of the output.

        Example:
            >>> Equation.parse("abc,cde->abde").bias_writes("e", 1)
            ((0, -1),)
        """
        labels = self.output.replace("...", "")
        first = min(labels.index(label) for label in bias_axes)
        own = enumerate(labels[first:])
        return tuple((axis, axis - rank) for axis, label in own if label in bias_axes)

    def require_product(self) -> None:
        """Raise ValueError if this is no product of the input and a matrix.

        Example:
            >>> Equation.parse("aa,ab->ab").require_product()
            Traceback (most recent call last):
            ValueError: repeats a label in one operand of 'aa,ab->ab'
        """
        text = f"{self.inputs},{self.kernel}->{self.output}"
        if any(
            len(set(part)) != len(part) for part in (self.inputs.replace("...", ""), self.kernel)
        ):
            raise ValueError(f"repeats a label in one operand of '{text}'")
        if set(self.kernel) - set(self.inputs) - set(self.output):
            raise ValueError(f"sums over an axis of its kernel alone in '{text}'")

    def _shared(self, part: str) -> tuple[tuple[int, int], ...]:
        return tuple(
            (axis, _place(part, label)) for axis, label in enumerate(self.kernel) if label in part
        )


def _place(part: str, label: str) -> int:
    """Return the axis of a label, counted from the end behind an ellipsis."""
    place, dots = part.index(label), part.find("...")
    return place - len(part) if -1 < dots < place else place
