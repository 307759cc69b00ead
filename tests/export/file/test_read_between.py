"""What is read of a file until a weight is read again."""

import keras
from keras import layers

from tfprune.export.convert import converter, copies
from tfprune.export.file import decoding
from tfprune.export.file.signature import signature_of
from tfprune.export.rewrites import recurrence


def test_what_is_read_until_a_weight_is_read_again():
    keras.utils.set_random_seed(0)
    cell = layers.LSTM(32, return_sequences=True)
    model = keras.Sequential([keras.Input((5, 16)), cell, layers.Dense(8)])
    own = {"recurrent": 4 * 32 * 4 * 32, "inputs": 4 * 16 * 4 * 32, "dense": 4 * 32 * 8}
    looped, _ = recurrence.apply(converter.convert(model, signature_of(model)).model)
    assert sorted(decoding.read_between(looped).values()) == sorted(
        [own["recurrent"], sum(own.values()), sum(own.values())]
    )
    steps = copies.unrolled(model, signature_of(model))
    unrolled = decoding.read_between(converter.convert(steps, signature_of(model)).model)
    assert own["recurrent"] in unrolled.values() and max(unrolled.values()) == sum(own.values())
