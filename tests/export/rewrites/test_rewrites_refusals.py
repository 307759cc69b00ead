"""Graphs that the rewrites leave as they are, and what they say about it."""

import keras
import pytest
from keras import layers

from tests.support.export.rewrite_cases import (
    EXACT,
    count_operators,
    image_model,
    largest_difference,
    randomize,
    rewrite,
    separable,
)
from tfprune.export import rewrites
from tfprune.export.convert import converter
from tfprune.export.file import flatbuffer, signature


def test_networks_that_no_rotation_makes_symmetric_stay_as_they_are():
    model = image_model(
        layers.Conv2D(4, 3, strides=2, padding="same"),
        layers.Conv2D(4, 3, strides=2, padding="valid"),
        layers.GlobalAveragePooling2D(),
    )
    rewritten = rewrite(model)
    assert rewritten.operators == count_operators(rewritten.before)
    assert "no symmetric padding either way" in rewritten.said[0]


@pytest.mark.parametrize(
    "layer",
    [layers.Conv2DTranspose(4, 3, strides=2, padding="same"), layers.UpSampling2D()],
    ids=["transposed", "resized"],
)
def test_rotation_that_would_end_in_the_middle_is_refused(layer):
    model = image_model(
        layers.Conv2D(6, 3, strides=2, padding="same"), layer, layers.Conv2D(4, 3), layers.ReLU()
    )
    rewritten = rewrite(model)
    assert largest_difference(rewritten) < EXACT
    assert rewritten.operators["REVERSE_V2"] == 0
    assert "end before" in rewritten.said[0] and "begin again after" in rewritten.said[0]


@pytest.mark.parametrize("kind", [layers.MaxPooling2D, layers.AveragePooling2D])
def test_pools_with_uneven_padding_of_their_own_are_refused(kind):
    model = image_model(
        layers.Conv2D(6, 3, strides=2, padding="same"),
        kind(3, strides=2, padding="same"),
        *separable(8),
        layers.GlobalAveragePooling2D(),
    )
    rewritten = rewrite(model)
    assert largest_difference(rewritten) < EXACT
    assert "POOL_2D" in rewritten.said[0]
    assert rewritten.operators["REVERSE_V2"] == 0


def test_convolutions_that_leave_out_the_end_are_refused():
    model = image_model(
        layers.Conv2D(6, 3, strides=2, padding="same"),
        layers.Conv2D(4, 1, strides=2),
        layers.GlobalAveragePooling2D(),
    )
    rewritten = rewrite(model)
    assert rewritten.operators == count_operators(rewritten.before)
    assert "leaves out the end of its input" in rewritten.said[0]


@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
def test_quantized_graphs_stay_as_they_are_and_say_so(quantize):
    model = image_model(layers.Conv2D(64, 3, strides=2, padding="same"), layers.Conv2D(64, 1))
    rewritten = rewrite(model, quantize=quantize)
    assert "not dense float32 constants" in rewritten.said[0]
    assert rewritten.operators == count_operators(rewritten.before)


def test_networks_without_convolutions_need_nothing():
    model = randomize(keras.Sequential([keras.Input((8,)), layers.Dense(4)]))
    before, content = converter.convert(model, signature.signature_of(model))
    after, said = rewrites.apply(before)
    assert said == () and flatbuffer.pack(after) == content


def test_free_heights_are_refused():
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    rewritten = rewrite(keras.Model(image, layers.GlobalAveragePooling2D()(x)))
    assert "is free" in rewritten.said[0]
