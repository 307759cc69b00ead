"""Checks of arguments that image classifiers and their images share."""

import math


def check_image_model(
    input_shape: tuple[int, int, int], classes: int, width: float, *, least: int
) -> None:
    """Refuses sizes of which no network can be made.

    Args:
        input_shape: (height, width, channels).
        classes: number of classes.
        width: multiplier of the channels.
        least: pixels a side that the network needs.

    Raises:
        ValueError: if a side is shorter than `least`, there is no channel, or fewer than two
            classes, or the multiplier is no positive number.

    Example:
        >>> check_image_model((32, 32, 3), 1, 1.0, least=8)
        Traceback (most recent call last):
        ValueError: `classes` must be at least 2. Received: classes=1
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < least or input_shape[2] < 1:
        raise ValueError(
            f"`input_shape` must be (height, width, channels) with sides of at least {least}. "
            f"Received: input_shape={input_shape}"
        )
    if classes < 2:
        raise ValueError(f"`classes` must be at least 2. Received: classes={classes}")
    if not (width > 0 and math.isfinite(width)):
        raise ValueError(f"`width` must be a positive number. Received: width={width}")


def check_dropout(dropout: float) -> None:
    """Refuses a share of dropped activations outside [0, 1).

    Example:
        >>> check_dropout(1.0)
        Traceback (most recent call last):
        ValueError: `dropout` must be in [0, 1). Received: dropout=1.0
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}")


def check_draws(crop: int, flip: bool, seed: int) -> None:
    """Refuses what images cannot be moved and mirrored by at random.

    Args:
        crop: pixels by which an image moves at most.
        flip: whether images are mirrored.
        seed: of the draws.

    Raises:
        ValueError: if `crop` or `seed` is no integer of at least 0, or `flip` no bool.

    Example:
        >>> check_draws(-1, True, 0)
        Traceback (most recent call last):
        ValueError: `crop` must be an integer >= 0. Received: crop=-1
    """
    for name, value in (("crop", crop), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"`{name}` must be an integer >= 0. Received: {name}={value!r}")
    if not isinstance(flip, bool):
        raise ValueError(f"`flip` must be True or False. Received: flip={flip!r}")


def scaled(channels: int, width: float, *, multiple: int = 1) -> int:
    """Channels of a layer at a width: the nearest multiple to their product, and at least one.

    Example:
        >>> scaled(96, 0.25), scaled(96, 0.001), scaled(5, 1.0, multiple=2)
        (24, 1, 4)
    """
    return multiple * max(1, round(channels * width / multiple))
