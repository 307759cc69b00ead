"""models/images/residual.py: size, shape and refusals."""

import keras
import numpy as np
import pytest

from models.images.residual import small_resnet


@pytest.mark.parametrize(
    ("shape", "width", "blocks"), [((8, 8, 1), 8, 2), ((32, 32, 3), 4, 1), ((8, 8, 1), 6, 3)]
)
def test_parameters_number_as_documented(
    shape: tuple[int, int, int], width: int, blocks: int
) -> None:
    model = small_resnet(shape, 10, width=width, blocks=blocks)
    formula = (
        (90 * blocks - 16) * width**2
        + (9 * shape[2] + 24 * blocks + 12) * width
        + (2 * width + 1) * 10
    )
    assert model.count_params() == formula
    assert model(np.zeros((2, *shape), "float32")).shape == (2, 10)


def test_normalized_filters_number_as_documented() -> None:
    norms = [
        layer
        for layer in small_resnet().layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert sum(layer.gamma.shape[0] for layer in norms) == 120


def test_shortcuts_carry_the_input_of_a_block() -> None:
    model = small_resnet(blocks=1)
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype("float32")
    model.get_layer("stage1_block1_2_bn").gamma.assign(np.zeros(8, "float32"))
    layers = [model.get_layer(name).output for name in ("stem_relu", "stage1_block1_relu")]
    before, after = keras.Model(model.input, layers)(image)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (8, 8)}, "`input_shape` must be"),
        ({"input_shape": (1, 8, 1)}, r"Received: input_shape=\(1, 8, 1\)"),
        ({"classes": 1}, "`classes` must be at least 2. Received: classes=1"),
        ({"width": 0}, "`width` must be at least 1. Received: width=0"),
        ({"blocks": 0}, "`blocks` must be at least 1. Received: blocks=0"),
    ],
)
def test_impossible_sizes_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_resnet(**arguments)
