"""models/registry.py and the image classifiers: sizes, one step of training, export, refusals."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import models
import tfprune
from tests.support.jax_session import run_on_jax

# Names at their default sizes: the published number of parameters, moving statistics included.
PUBLISHED = {
    "alexnet": 60_965_224,  # two groups, as in the paper and in Caffe
    "all-cnn-c": 1_369_738,
    "inception-v3": 23_851_784,
    "lenet-300-100": 266_610,
    "lenet-5": 431_080,  # Caffe's variant
    "mobilenet-v1-0.25": 475_544,
    "mobilenet-v1-0.5": 1_342_536,
    "mobilenet-v1-0.75": 2_601_976,
    "mobilenet-v1-1.0": 4_253_864,
    "nin": 966_986,
    "resnet-50": 25_636_712,
    "vgg-16": 138_357_544,
}

# The same where a model is trained: without moving statistics, or without LSTM states.
PUBLISHED_TRAINABLE = {
    "lstm-large": 66_022_000,
    "lstm-medium": 19_775_200,
    "lstm-small": 4_651_600,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet56": 853_018,
}

# Sizes without a published figure.
OURS = {
    "digits-cnn": 151_434,
    "small-resnet": 11_218,
    **{
        f"nmt-{u}": 64_000 * u  # embeddings
        + 4 * u * (4 * u + 2)  # encoder
        + 4 * u * (3 * u + 1)
        + 4 * u * (2 * u + 1)  # decoder
        + 4 * u * (3 * u + 1)
        + 2 * u * u  # attention
        + u
        + (2 * u + 1) * u  # tanh layer and projection
        + 32_000 * (u + 1)
        for u in (128, 256, 512, 1024)
    },
}

COLOR, GRAY = (32, 32, 3), (28, 28, 1)

# Image classifiers, with the options that make one step of training a matter of seconds.
SMALL: dict[str, dict] = {
    "alexnet": {"width": 0.05},
    "all-cnn-c": {"width": 0.05},
    "digits-cnn": {"width": 2},
    "inception-v3": {"width": 0.05},
    "lenet-300-100": {"width": 0.1},
    "lenet-5": {"width": 0.1},
    "mobilenet-v1-0.25": {},
    "nin": {"width": 0.05},
    "resnet-50": {"width": 0.05},
    "resnet20": {"width": 2},
    "resnet32": {"width": 2},
    "resnet56": {"width": 2},
    "small-resnet": {"width": 2},
    "vgg-16": {"width": 0.05},
}


def small(name, input_shape=COLOR):
    return models.build(name, input_shape=input_shape, classes=10, **SMALL[name])


def without_values(build):
    """What a function builds, with variables that have shapes only: values may take seconds.

    In a thread of its own: Keras makes up for values that a thread has left out.
    """

    def scoped():
        with keras.StatelessScope(initialize_variables=False):
            return build()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(scoped).result()


def outline(name, **options):
    return without_values(lambda: models.build(name, **options))


def trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def test_the_tables_of_this_file_hold_every_name():
    assert sorted([*PUBLISHED, *PUBLISHED_TRAINABLE, *OURS]) == models.names()
    text = ("lstm", "nmt", "mobilenet")
    images = [name for name in models.names() if not name.startswith(text)]
    assert sorted(SMALL) == sorted([*images, "mobilenet-v1-0.25"])


@pytest.mark.parametrize("name", sorted({**PUBLISHED, **OURS}))
def test_parameters_number_as_published(name):
    assert outline(name).count_params() == {**PUBLISHED, **OURS}[name]


@pytest.mark.parametrize("name", PUBLISHED_TRAINABLE)
def test_trainable_parameters_number_as_published(name):
    assert trainable(outline(name)) == PUBLISHED_TRAINABLE[name]


def test_alexnet_in_one_group_has_the_documented_parameters():
    assert outline("alexnet", groups=1).count_params() == 62_378_344


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("alexnet", 28_569_994),
        ("mobilenet-v1-1.0", 3_239_114),
        ("vgg-16", 14_999_370),
    ],
)
def test_stems_for_small_images_have_the_documented_parameters(name, parameters):
    assert outline(name, input_shape=COLOR, classes=10).count_params() == parameters


@pytest.mark.parametrize("name", SMALL)
def test_one_step_of_training_changes_the_first_kernel_and_the_last(name):
    model = small(name)
    assert model.output_shape == (None, 10)
    random = np.random.default_rng(0)
    x, y = random.uniform(-1, 1, (4, *COLOR)).astype("float32"), np.arange(4)
    # Eagerly: what a step computes is the same, and tracing hundreds of layers takes longer.
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    kernels = [w for layer in model.layers for w in tfprune.prunable.prunable_weights(layer)]
    before = [keras.ops.convert_to_numpy(kernels[i]).copy() for i in (0, -1)]
    assert np.isfinite(model.train_on_batch(x, y))
    for kernel, old in zip((kernels[0], kernels[-1]), before, strict=True):
        assert not np.array_equal(keras.ops.convert_to_numpy(kernel), old)


# Networks of keras.applications are exported in the tests of channels.
@pytest.mark.parametrize("name", [n for n in SMALL if n not in ("inception-v3", "resnet-50")])
def test_gray_images_of_28_pixels_are_classified_and_exported(name, tmp_path):
    model = small(name, GRAY)
    assert model.input_shape == (None, *GRAY) and model.output_shape == (None, 10)
    report = tfprune.export.to_tflite(model, tmp_path / "model.tflite")  # checks the predictions
    assert (tmp_path / "model.tflite").stat().st_size == report.bytes


def test_alexnet_keeps_a_grouped_channel_to_its_group():
    model = models.build("alexnet", input_shape=COLOR, classes=10, width=0.05)
    conv1, conv2 = model.get_layer("conv1"), model.get_layer("conv2")
    assert conv2.kernel.shape[2] == conv1.kernel.shape[3] // 2


def sides(model, *layers):
    return [model.get_layer(name).output.shape[1] for name in layers]


@pytest.mark.parametrize("side", [28, 32, 64])
def test_stems_for_small_images_keep_their_size(side):
    options = {"input_shape": (side, side, 3), "classes": 10}
    mobilenet = outline("mobilenet-v1-0.25", **options)
    assert sides(mobilenet, "conv1", "conv_pw_1") == [side, side]
    resnet = outline("resnet-50", width=0.05, **options)
    assert resnet.get_layer("conv1_conv").kernel_size == (3, 3)
    assert sides(resnet, "conv1_conv", "conv2_block1_out") == [side, side]


def test_inception_has_the_stem_for_small_images_up_to_64_pixels():
    model = outline("inception-v3", input_shape=COLOR, width=0.05)
    assert sides(model, "conv1", "max_pool2", "mixed2", "mixed7", "mixed10") == [32, 32, 32, 15, 7]
    large = outline("inception-v3", input_shape=(75, 75, 3), width=0.05)
    assert sides(large, "conv1", "max_pool2", "mixed10") == [37, 7, 1]


def test_layers_of_inception_have_the_same_names_in_every_model():
    first, second = without_values(lambda: [small("inception-v3") for _ in range(2)])
    names = [layer.name for layer in first.layers]
    assert names == [layer.name for layer in second.layers]
    numbers = [int(name[4:]) for name in names if name[:4] == "conv" and name[4:].isdigit()]
    assert sorted(numbers) == list(range(1, 95))
    for number in numbers:  # the normalization of a convolution has its number
        assert first.get_layer(f"bn{number}").input is first.get_layer(f"conv{number}").output


def test_width_and_momentum_reach_every_layer():
    model = outline("resnet-50", input_shape=COLOR, classes=10, width=0.5, momentum=0.9)
    assert model.get_layer("conv5_block3_3_conv").filters == 1024
    norms = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
    assert {norm.momentum for norm in norms} == {0.9}


def test_a_number_makes_a_name():
    model = models.build("lstm-7", vocabulary=9, steps=3, batch_size=2)
    assert model.get_layer("lstm_1").units == 7 and model.output_shape == (2, 3, 9)
    assert models.build("mobilenet-v1-0.125", input_shape=COLOR).get_layer("conv1").filters == 4
    assert models.build("resnet20-0.5").get_layer("conv1").filters == 8


def test_published_language_models_have_the_steps_and_dropout_of_the_paper():
    model = outline("lstm-medium", vocabulary=5, batch_size=3)
    assert model.input_shape == (3, 35) and model.get_layer("dropout_0").rate == 0.5


@pytest.mark.parametrize(
    "name", ["resnet21", "lstm", "nmt-", "mobilenet-v1-half", "", None, ["alexnet"]]
)
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="`name` must be one of alexnet, all-cnn-c, .*") as error:
        models.build(name)
    message = str(error.value)
    assert all(known in message for known in models.names()) and "\n" not in message
    assert "lstm-<units>" in message and message.endswith(f"Received: name={name!r}")


@pytest.mark.parametrize(
    ("name", "option", "known"),
    [
        ("resnet20", {"depth": 56}, "input_shape, classes, width"),
        ("lenet-5", {"dropout": 0.1}, "input_shape, classes, width"),
    ],
)
def test_an_unknown_option_lists_the_known_ones(name, option, known):
    with pytest.raises(TypeError, match=f"`options` of model '{name}' must be among {known}. Rec"):
        models.build(name, **option)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("alexnet", {"input_shape": (14, 32, 3)}, "sides of at least 15"),
        ("alexnet", {"groups": 3}, "`groups` must be 1 or 2. Received: groups=3"),
        ("alexnet", {"dropout": 1.0}, "`dropout` must be in"),
        ("all-cnn-c", {"input_shape": (8, 8, 3)}, "sides of at least 9"),
        ("all-cnn-c", {"input_dropout": -0.1}, "`input_dropout` must be in"),
        ("inception-v3", {"input_shape": (74, 74, 3)}, "sides of at least 75"),
        ("inception-v3", {"input_shape": (6, 6, 3)}, "sides of at least 7"),
        ("inception-v3", {"input_shape": (32,)}, r"Received: input_shape=\(32,\)"),
        ("lenet-300-100", {"input_shape": (28, 28)}, "`input_shape` must be"),
        ("lenet-5", {"input_shape": (15, 28, 1)}, "sides of at least 16"),
        ("mobilenet-v1-0.03", {}, "`width` must be at least 1/32. Received: width=0.03"),
        ("mobilenet-v1-0", {}, "`width` must be a positive number. Received: width=0.0"),
        ("mobilenet-v1-1", {"momentum": 1.0}, "`momentum` must be in"),
        ("nin", {"width": float("nan")}, "`width` must be a positive number"),
        ("resnet-50", {"classes": 1}, "`classes` must be at least 2. Received: classes=1"),
        ("resnet20", {"width": 0}, "`width` must be at least 1. Received: width=0"),
        ("vgg-16", {"classes": 0}, "`classes` must be at least 2"),
    ],
)
def test_impossible_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, **options)


def test_other_depths_of_residual_networks():
    assert models.small_image_resnet(8, width=2).name == "resnet8"
    for depth in (2, 21):
        with pytest.raises(ValueError, match=f"`depth` must be 6 n . 2.*Received: depth={depth}"):
            models.small_image_resnet(depth)


def test_a_grouped_convolution_trains_on_jax_fed_by_tf_data():
    code = """
    import keras, models, numpy as np
    assert keras.backend.backend() == "jax"
    x = np.random.default_rng(0).normal(size=(4, 28, 28, 1)).astype("float32")
    model = models.build("alexnet", input_shape=(28, 28, 1), classes=10, width=0.001)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = models.training_batches(x, np.arange(4), 2, epochs=1, crop=2, flip=True)
    history = model.fit(data, shuffle=False, verbose=0).history
    print(len(history["loss"]), np.isfinite(history["loss"][0]))
    """
    assert run_on_jax(code) == "1 True\n"
