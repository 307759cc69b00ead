"""Networks of ordinary shapes in the sparse mode, in blocks of one, 2x2 and 4x4 places."""

import keras
import pytest
from keras import layers

from tests.support.export.rewrite_cases import EXACT, largest_difference, rewrite
from tfprune.export.encode.sparse import encode_model
from tfprune.export.predict import linting
from tfprune.export.rewrites import Way
from tfprune.targets.target import TARGETS


def conv(filters, kernel=3, strides=1, **options):
    options = {"padding": "same", "activation": "relu", **options}
    return layers.Conv2D(filters, kernel, strides=strides, **options)


def pooled(x):
    return layers.GlobalAveragePooling2D()(x)


def residual():
    image = keras.Input((16, 16, 3))
    x = conv(6)(image)
    y = layers.DepthwiseConv2D(3, padding="same")(conv(6)(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Add()([conv(8, 1, 2)(x), conv(8, 3, 2)(x)])
    return keras.Model(image, pooled(conv(8)(x)))


def squeezed(keep):
    image = keras.Input((16, 16, 1))
    x = conv(8)(image)
    y = layers.GlobalAveragePooling2D(keepdims=keep)(x)
    y = layers.Dense(8, "sigmoid")(layers.Dense(4, "relu")(y))
    x = layers.Multiply()([x, y if keep else layers.Reshape((1, 1, 8))(y)])
    return keras.Model(image, pooled(conv(8)(x)))


def joined():
    image = keras.Input((16, 16, 2))
    x = layers.MaxPooling2D(2)(conv(6)(image))
    x = layers.Concatenate()([conv(4)(x), x, conv(3, 1)(x)])
    x = layers.AveragePooling2D(2)(layers.BatchNormalization()(x))
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))


def enlarged():
    image = keras.Input((16, 16, 3))
    x = first = conv(6)(image)
    x = conv(8)(layers.MaxPooling2D(2)(x))
    x = layers.Concatenate()([layers.UpSampling2D(2)(x), first])
    x = layers.Conv2D(8, 3, padding="same")(x)
    return keras.Model(image, [x, keras.ops.depth_to_space(x, 2), layers.GlobalMaxPooling2D()(x)])


def unpadded():
    image = keras.Input((20, 20, 1))
    x = layers.MaxPooling2D(2)(conv(6, padding="valid")(image))
    return keras.Model(image, layers.Flatten()(conv(4, padding="valid")(x)))


def transposed():
    image = keras.Input((16, 16, 3))
    x = conv(8, 3, 2)(conv(8)(image))
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(image, layers.Conv2DTranspose(4, 2, strides=2)(layers.MaxPooling2D(2)(x)))


def shuffled():
    image = keras.Input((16, 16, 3))
    x = conv(32, groups=2)(conv(32, 1)(conv(32)(image)))
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((16, 16, 2, 16))(x))
    return keras.Model(image, pooled(conv(32, groups=4)(layers.Reshape((16, 16, 32))(x))))


def spoken():
    image = keras.Input((25, 10, 1))
    x = conv(8, (6, 4), 2)(image)
    x = conv(96, 1)(conv(96, 1)(x))
    x = conv(8, 1)(layers.DepthwiseConv2D(3, padding="same")(x))
    return keras.Model(image, pooled(x))


NETWORKS = {
    "residual": residual,
    "squeezed": lambda: squeezed(True),
    "squeezed_flat": lambda: squeezed(False),
    "joined": joined,
    "enlarged": enlarged,
    "unpadded": unpadded,
    "transposed": transposed,
    "shuffled": shuffled,
}


def coverage(rewritten, target="wasm"):
    model, _ = encode_model(rewritten.graph.model, target=TARGETS[target])
    return linting.coverage(model, "the file", TARGETS[target])


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_compute_the_same_in_blocks_of_every_size(name, block):
    way = Way(rotated=False, block=block, kernels=True)
    rewritten = rewrite(NETWORKS[name](), sparsity=0.9, way=way)
    assert largest_difference(rewritten) < EXACT
    found = coverage(rewritten)
    assert not found.defects
    assert found.sparse_convolutions > 4, found


def test_odd_images_are_filled_up_with_zeros_before_a_strided_convolution():
    rewritten = rewrite(spoken(), sparsity=0.9, way=Way(rotated=False, block=2))
    assert largest_difference(rewritten) < EXACT
    assert coverage(rewritten).sparse_convolutions


def test_blocks_keep_the_nonzeros_of_a_layer_once_for_each_place():
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, pooled(conv(5, 1)(conv(8)(image))))
    counts = [
        sum(coverage(rewrite(model, sparsity=0.9, way=Way(False, block, True))).layers[-1].shape)
        for block in (1, 2)
    ]
    assert counts[0] < counts[1]
