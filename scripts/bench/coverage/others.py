"""Detectors, segmenters and other makers of images; vectors, sequences and texts."""

import keras
from keras import KerasTensor, layers

from scripts.bench.coverage.blocks import conv, inverted, separable
from scripts.bench.coverage.images import image

VOCABULARY, STEPS = 1000, 16


def detector() -> keras.Model:
    """Two scales with a head for classes and one for boxes each."""
    source = image(96)
    x = conv(source, 16, 3, 2)
    for filters, strides in ((32, 2), (64, 2), (64, 1)):
        x = separable(x, filters, strides)
    small = separable(x, 128, 2)
    heads = []
    for scale in (x, small):
        for values in (4 * 3, 11 * 3):
            y = layers.Conv2D(values, 1)(separable(scale, scale.shape[-1]))
            heads.append(layers.Reshape((-1, values // 3))(y))
    return keras.Model(source, heads)


def centers() -> keras.Model:
    """A heat map of object centres and their sizes, at a quarter of the resolution."""
    source = image(64)
    x = conv(source, 16, 3, 2)
    first = separable(x, 32, 2)
    x = separable(separable(first, 64, 2), 64)
    x = layers.Add()([first, layers.UpSampling2D(interpolation="bilinear")(conv(x, 32, 1))])
    heads = [layers.Conv2D(n, 1)(separable(x, 32)) for n in (8, 2, 2)]
    return keras.Model(source, heads)


def unet() -> keras.Model:
    source = image(32)
    x, skipped = source, []
    for width in (16, 32):
        x = conv(conv(x, width), width)
        skipped.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = conv(x, 64)
    for width in (32, 16):
        x = layers.Concatenate()([layers.UpSampling2D(2)(x), skipped.pop()])
        x = conv(x, width)
    return keras.Model(source, layers.Conv2D(4, 1)(x))


def segmenter() -> keras.Model:
    """A MobileNet whose map of classes is made larger at its end."""
    source = image(64)
    x = conv(source, 16, 3, 2)
    for filters, strides in ((16, 1), (24, 2), (24, 1), (48, 2), (48, 1)):
        x = inverted(x, filters, strides)
    x = layers.Conv2D(8, 1)(conv(x, 64, 1))
    return keras.Model(source, layers.UpSampling2D(8, interpolation="bilinear")(x))


def transposed_segmenter() -> keras.Model:
    source = image(64)
    x = separable(separable(conv(source, 16, 3, 2), 32, 2), 64)
    x = layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(source, layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x))


def super_resolution(channels: int, depth: int) -> keras.Model:
    """An image of twice the height and width, whose pixels come from channels."""
    source = image(32, channels)
    x = first = layers.Conv2D(32, 3, padding="same", activation="relu")(source)
    for _ in range(depth):
        y = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
        x = layers.Add()([x, layers.Conv2D(32, 3, padding="same")(y)])
    x = layers.Conv2D(4 * channels, 3, padding="same")(layers.Add()([x, first]) if depth else x)
    return keras.Model(source, keras.ops.depth_to_space(x, 2))


def denoiser() -> keras.Model:
    source = x = image(32, 1)
    for _ in range(4):
        x = conv(x, 32)
    noise = layers.Conv2D(1, 3, padding="same")(x)
    return keras.Model(source, layers.Subtract()([source, noise]))


def image_autoencoder() -> keras.Model:
    source = x = image(32)
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
    for filters in (32, 16):
        x = layers.UpSampling2D(2)(x)
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(3, 3, padding="same", activation="sigmoid")(layers.UpSampling2D(2)(x))
    return keras.Model(source, x)


def mlp(sizes: tuple[int, ...], last: str | None = None) -> keras.Model:
    """Dense layers; the first size is that of the input."""
    source = x = keras.Input((sizes[0],))
    for size in sizes[1:-1]:
        x = layers.Dense(size, "relu")(x)
    return keras.Model(source, layers.Dense(sizes[-1], last)(x))


def mixer() -> keras.Model:
    """Dense layers over patches, then over channels."""
    source = image()
    x = layers.Reshape((64, 96))(layers.Conv2D(96, 4, strides=4)(source))
    for _ in range(2):
        y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
        y = layers.Dense(64)(layers.Dense(128, "gelu")(y))
        x = layers.Add()([x, layers.Permute((2, 1))(y)])
        y = layers.Dense(96)(layers.Dense(256, "gelu")(layers.LayerNormalization()(x)))
        x = layers.Add()([x, y])
    return keras.Model(source, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def signal_cnn() -> keras.Model:
    """Activities from 128 steps of nine sensors."""
    source = x = keras.Input((128, 9))
    for filters in (64, 64, 128):
        x = layers.Conv1D(filters, 5, padding="same", activation="relu")(x)
        x = layers.MaxPooling1D(2)(x)
    return keras.Model(source, layers.Dense(6)(layers.GlobalAveragePooling1D()(x)))


def temporal_cnn() -> keras.Model:
    """Causal convolutions over ever longer times."""
    source = keras.Input((64, 16))
    x = layers.Conv1D(64, 1)(source)
    for rate in (1, 2, 4):
        y = layers.Conv1D(64, 3, padding="causal", dilation_rate=rate, activation="relu")(x)
        x = layers.Add()([x, layers.Conv1D(64, 1)(y)])
    return keras.Model(source, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def spoken_words() -> keras.Model:
    """TC-ResNet: coefficients as channels, convolutions along time."""
    source = keras.Input((98, 1, 40))
    x = conv(source, 16, (3, 1))
    for filters in (24, 32, 48):
        y = conv(x, filters, (9, 1), (2, 1))  # type: ignore[arg-type]
        y = conv(y, filters, (9, 1), activation=None)
        x = conv(x, filters, 1, (2, 1), activation=None)  # type: ignore[arg-type]
        x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(source, layers.Dense(12)(layers.GlobalAveragePooling2D()(x)))


def recurrent(cell: type[layers.Layer], units: int, tagger: bool = False) -> keras.Model:
    """A classifier of texts, or of their words with a layer in both directions."""
    source = keras.Input((STEPS,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 64)(source)
    if tagger:
        x = layers.Bidirectional(cell(units, return_sequences=True))(x)  # type: ignore[call-arg]
    else:
        x = cell(units)(x)  # type: ignore[call-arg]
    return keras.Model(source, layers.Dense(16)(x))


def encoded(x: KerasTensor, width: int, heads: int = 4) -> KerasTensor:
    """One layer of a transformer's encoder."""
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(heads, width // heads)(y, y)])
    y = layers.Dense(4 * width, "gelu")(layers.LayerNormalization()(x))
    return layers.Add()([x, layers.Dense(width)(y)])


def text_transformer() -> keras.Model:
    source = keras.Input((STEPS,), dtype="int32")
    x = encoded(encoded(layers.Embedding(VOCABULARY, 128)(source), 128), 128)
    return keras.Model(source, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


def image_transformer() -> keras.Model:
    source = image()
    x = layers.Reshape((64, 96))(layers.Conv2D(96, 4, strides=4)(source))
    x = encoded(encoded(x, 96), 96)
    return keras.Model(source, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def bag_of_words() -> keras.Model:
    source = keras.Input((64,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(VOCABULARY, 256)(source))
    return keras.Model(source, layers.Dense(20)(layers.Dense(256, "relu")(x)))


OTHERS = {
    "detector": ("SSD, 96", detector),
    "centers": ("CenterNet, 64", centers),
    "unet": ("U-Net, 32", unet),
    "segmenter": ("MobileNetV2, bilinear, 64", segmenter),
    "transposed_segmenter": ("segmenter, transposed, 64", transposed_segmenter),
    "super_resolution": ("ESPCN", lambda: super_resolution(1, 0)),
    "residual_super_resolution": ("EDSR", lambda: super_resolution(3, 3)),
    "denoiser": ("DnCNN, 32", denoiser),
    "image_autoencoder": ("convolutional autoencoder, 32", image_autoencoder),
    "mlp": ("MLP 3 x 512", lambda: mlp((512, 512, 512, 512, 10))),
    "tabular": ("MLP of a table", lambda: mlp((32, 64, 32, 1), "sigmoid")),
    "autoencoder": ("autoencoder, 640", lambda: mlp((640, 128, 128, 8, 128, 128, 640))),
    "mixer": ("MLP-Mixer, 32", mixer),
    "signal_cnn": ("1-D CNN, 128 x 9", signal_cnn),
    "temporal_cnn": ("TCN, 64 x 16", temporal_cnn),
    "spoken_words": ("TC-ResNet, 98 x 40", spoken_words),
    "lstm": ("LSTM 256", lambda: recurrent(layers.LSTM, 256)),
    "gru": ("GRU 256", lambda: recurrent(layers.GRU, 256)),
    "tagger": ("bidirectional LSTM 128", lambda: recurrent(layers.LSTM, 128, tagger=True)),
    "text_transformer": ("transformer, 2 x 128", text_transformer),
    "image_transformer": ("ViT, 2 x 96, 32", image_transformer),
    "bag_of_words": ("bag of words", bag_of_words),
}
