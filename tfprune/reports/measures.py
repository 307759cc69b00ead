"""How much smaller and faster a compressed model is than its original: three ratios.

    compression rate = a / a*        space saving = (a - a*) / a        speed-up = s / s*

a and a* are the sizes of the original and of the compressed model, s and s* their running times.
A ratio means nothing without what was counted, so every report says it beside the number, in words
made by `formulas`: parameters and nonzero parameters, bytes of a file, latency of an inference. The
symbols above are the survey's; what is printed has words, and the symbols once, in `NOTE`.

Counted in parameters, a* those that are not zero, the space saving is the sparsity. A speed-up is
measured and never follows from the other two: where nothing was timed, reports say `NOT_TIMED`.

Source: Cheng et al., "A Survey of Model Compression and Acceleration for Deep Neural Networks",
arXiv 1710.09282, on the evaluation of compressed models. Time and memory O(1).
"""

import math
import numbers

NOTE = (
    "Compression rate, space saving and speed-up compare with the dense original: a / a*, "
    "(a - a*) / a and s / s* of Cheng et al., arXiv 1710.09282."
)

_ALIKE = 0.005  # differences that two digits do not show

NOT_TIMED = (
    "not measured, and not to be inferred from zeros or bytes; `tfprune bench` times .tflite files"
)


def compression_rate(a: float, a_star: float) -> float:
    """Return a / a*: how many times smaller the compressed model is.

    Args:
        a: size of the original, such as its number of parameters or its bytes; >= 0, and 0 only if
            `a_star` is.
        a_star: size of the compressed model, counted alike; >= 0.

    Returns:
        The ratio, above 1 if the model became smaller: infinity if nothing is left of something, 1
        if there was nothing.

    Raises:
        TypeError: if a size is no number.
        ValueError: if a size is out of its range.

    Source: Cheng et al., arXiv 1710.09282.

    Example:
        >>> compression_rate(1000, 125)
        8.0
    """
    _require_sizes(a, a_star)
    if a_star == 0:
        return math.inf if a else 1.0
    return float(a / a_star)


def space_saving(a: float, a_star: float) -> float:
    """Return (a - a*) / a: the part of the original that the compressed model does not need.

    Args:
        a: as in `compression_rate`.
        a_star: as in `compression_rate`.

    Returns:
        A fraction of at most 1: below 0 if the model became larger, 0 if there was nothing.

    Raises:
        TypeError: if a size is no number.
        ValueError: if a size is out of its range.

    Source: Cheng et al., arXiv 1710.09282, who name it for the index space that parameters span;
        here it is that of whatever is counted.

    Example:
        >>> space_saving(1000, 125)
        0.875
    """
    _require_sizes(a, a_star)
    return float((a - a_star) / a) if a else 0.0


def speed_up(s: float, s_star: float) -> float:
    """Return s / s*: how many times faster the compressed model runs.

    Args:
        s: running time of the original, > 0, in any unit.
        s_star: running time of the compressed model, > 0, in the same unit and measured alike.

    Returns:
        The ratio, above 1 if the model became faster.

    Raises:
        TypeError: if a time is no number.
        ValueError: if a time is out of its range.

    Source: Cheng et al., arXiv 1710.09282.

    Example:
        >>> speed_up(6.0, 1.5)
        4.0
    """
    for name, value in (("s", s), ("s_star", s_star)):
        _require_number(name, value, "a running time")
        if not 0.0 < value < math.inf:
            raise ValueError(
                f"`{name}` must be a running time > 0 and finite. Received: {name}={value!r}."
            )
    return float(s / s_star)


def formulas(a: str, a_star: str) -> dict[str, str]:
    """Return what a report says about its compression rate and space saving.

    Args:
        a: what was counted of the original, in words.
        a_star: what was counted of the compressed model.

    Example:
        >>> formulas("parameters", "nonzero parameters")["compression_rate"]
        'parameters / nonzero parameters'
    """
    return {
        "compression_rate": f"{a} / {a_star}",
        "space_saving": f"1 - {a_star} / {a}",
    }


def in_words(rate: float, smaller: str = "smaller", large: str = "large") -> str:
    """Return a ratio of original over compressed in words.

    Args:
        rate: as `compression_rate` or `speed_up` return it, > 0.
        smaller: what a rate above 1 means.
        large: what a rate below 1 means more of.

    Example:
        >>> in_words(6.9), in_words(0.8), in_words(2.0, "faster", "slow")
        ('6.90 times smaller', '1.25 times as large', '2.00 times faster')
    """
    if math.isinf(rate):
        return "nothing left"
    if abs(rate - 1) < _ALIKE:
        return f"as {large}"
    return f"{rate:.2f} times {smaller}" if rate >= 1 else f"{1 / rate:.2f} times as {large}"


def _require_sizes(a: float, a_star: float) -> None:
    for name, value in (("a", a), ("a_star", a_star)):
        _require_number(name, value, "a size")
        if not 0 <= value < math.inf:
            raise ValueError(
                f"`{name}` must be a size >= 0 and finite. Received: {name}={value!r}."
            )
    if a == 0 and a_star != 0:
        raise ValueError(
            "`a` must be > 0 where `a_star` is: nothing cannot be compressed to something. "
            f"Received: a={a!r}, a_star={a_star!r}."
        )


def _require_number(name: str, value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a number, {what}. "
            f"Received: {name}={value!r} (of type {type(value).__name__})."
        )
