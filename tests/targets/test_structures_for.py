"""structures_for: each weight gets the structure that its target can skip zeros in."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.cli_runner import error_of
from tests.support.export.target_models import image_model, short
from tests.support.helpers import fit
from tfprune import Block, Unstructured, cli, scorers
from tfprune.layer_classes.prunable import owned_weights
from tfprune.targets.structures import QUANTIZE, TARGETS
from tfprune.wrapping.pruned_layer import pruned_layers

ELEMENTS, DENSE = Unstructured(), None
HIGH = tfprune.OneShot(0.97)  # above every gate


def structures_of(model, target="wasm", **options):
    """Layer and weight -> structure, for all prunable weights of a plain model."""
    chosen = tfprune.structures_for(target, **options).assign(model)
    paths = [short(weight.path) for _, weight in owned_weights(model)]
    return dict(zip(paths, chosen, strict=True))


def zeros_of(model):
    return {short(weight.path): weight.numpy() == 0 for _, weight in owned_weights(model)}


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(32, 8, 8, 3)), random.normal(size=(32, 3))
    return x.astype("float32"), y.astype("float32")


@pytest.mark.parametrize("target", TARGETS)
def test_convolutions_lose_single_weights_and_the_first_and_depthwise_ones_none(target):
    assert structures_of(image_model(), target) == {
        "stem/kernel": DENSE,
        "depthwise/kernel": DENSE,
        "pointwise/kernel": ELEMENTS,
        "spatial/kernel": ELEMENTS,
        "separable/depthwise_kernel": DENSE,
        "separable/pointwise_kernel": ELEMENTS,
        "classes/kernel": ELEMENTS if target in ("size", "microcontroller") else Block(4, 1),
    }


@pytest.mark.parametrize(
    "target, quantize, of_32, of_8",
    [
        ("x86", None, Block(4, 1), Block(4, 1)),
        ("arm64", "float16", Block(4, 1), Block(4, 1)),
        ("auto", "int8_weights", Block(4, 1), Block(4, 1)),
        ("x86", "dynamic", Block(16, 1), ELEMENTS),
        ("wasm", "int8", Block(16, 1), ELEMENTS),
        ("size", None, ELEMENTS, ELEMENTS),
        ("microcontroller", "int8", ELEMENTS, ELEMENTS),
        ("size", "int8", Block(16, 1), ELEMENTS),
    ],
)
@pytest.mark.parametrize("recurrent", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_matrices_get_blocks_along_an_input_that_they_divide(
    recurrent, target, quantize, of_32, of_8
):
    inputs = keras.Input((5, 32))
    x = layers.Bidirectional(recurrent(8))(inputs)
    model = keras.Model(inputs, [layers.Dense(3)(x[:, :8]), layers.Dense(2)(x[:, :7])])
    chosen = tfprune.structures_for(target, quantize=quantize).assign(model)
    assert chosen == [of_32, of_8, of_32, of_8, of_8, ELEMENTS]


def test_other_weights_lose_single_weights():
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 16, name="table")(tokens)
    x = layers.MultiHeadAttention(2, 8, name="attention")(x, x)
    x = layers.EinsumDense("abc,cd->abd", (None, 8), name="matrix")(x)
    x = layers.EinsumDense("abc,dc->abd", (None, 4), name="transposed")(x)
    found = structures_of(keras.Model(tokens, layers.Conv1D(4, 3, name="line")(x)), "x86")
    blocks = {path for path, structure in found.items() if structure == Block(4, 1)}
    assert blocks == {"matrix/kernel"}
    assert len(found) == 8 and set(found.values()) == {Block(4, 1), ELEMENTS}


def test_a_projection_back_to_tokens_is_a_matrix_and_the_table_of_tokens_is_none():
    tokens = keras.Input((6,), dtype="int32")
    embedding = layers.ReversibleEmbedding(20, 16, tie_weights=False, name="words")
    found = structures_of(keras.Model(tokens, embedding(embedding(tokens), reverse=True)), "x86")
    assert found == {"words/embeddings": ELEMENTS, "words/reverse_embeddings": Block(4, 1)}


def test_a_recurrent_convolution_over_images_is_no_first_convolution():
    inputs = keras.Input((3, 8, 8, 3))
    found = structures_of(keras.Model(inputs, layers.ConvLSTM2D(4, 3, name="rnn")(inputs)))
    assert len(found) == 2 and set(found.values()) == {ELEMENTS}


def test_each_input_has_its_first_convolutions():
    one, two = keras.Input((8, 8, 5)), keras.Input((8, 8, 3))
    scaled = layers.Normalization(mean=0.0, variance=1.0)(one)
    a = layers.Conv2D(4, 3, padding="same", name="one")(scaled)
    b = layers.Conv2D(4, 3, padding="same", name="two")(two)
    late = layers.Conv2D(4, 3, name="late")(layers.Concatenate()([one, a, b]))
    found = structures_of(keras.Model([one, two], late))
    assert found == {"one/kernel": DENSE, "two/kernel": DENSE, "late/kernel": ELEMENTS}


def test_the_first_convolution_of_a_nested_model_is_first_only_at_the_input():
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 3, name="a")], name="inner")
    tail = keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(3, 3, name="b")], name="tail")
    found = structures_of(keras.Sequential([keras.Input((8, 8, 3)), inner, tail]))
    assert found == {"a/kernel": DENSE, "b/kernel": ELEMENTS}


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.stem, self.mixing = layers.Conv2D(8, 3, name="stem"), layers.Conv2D(4, 1, name="mix")

    def build(self, shape):
        self.stem.build(shape)
        self.mixing.build((None, 6, 6, 8))

    def call(self, inputs):
        return self.mixing(self.stem(inputs))


def test_in_a_subclassed_model_a_convolution_over_an_image_is_the_first(tmp_path):
    model = Subclassed()
    model.build((None, 8, 8, 3))
    pruned = tfprune.prune(model, HIGH, structure=tfprune.structures_for("wasm"))
    assert type(pruned.stem) is layers.Conv2D
    assert pruned.mixing.structure == ELEMENTS
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.stem) is layers.Conv2D and loaded.mixing.structure == ELEMENTS


@pytest.mark.parametrize("name", scorers.names())
def test_every_scorer_removes_what_the_structures_say(name, images):
    model = image_model()
    structure = tfprune.structures_for("x86")
    pruned, _ = tfprune.one_shot(
        model,
        0.75,
        name,
        images,
        "mse",
        structure=structure,
        distribution="uniform",
        rules=[("spatial/.*", None), ("classes/.*", 0.9)],
        stages=2,
    )
    plain = tfprune.strip_pruning(pruned)
    zeros = zeros_of(plain)
    for path in ("stem/kernel", "depthwise/kernel", "separable/depthwise_kernel", "spatial/kernel"):
        assert not zeros[path].any()
    assert zeros["pointwise/kernel"].mean() == zeros["separable/pointwise_kernel"].mean() == 0.75
    blocks = zeros["classes/kernel"].reshape(4, 4, 3)
    assert (blocks.all(axis=1) == blocks.any(axis=1)).all()
    assert blocks.mean() == pytest.approx(11 / 12)
    assert all(np.isfinite(weight).all() for weight in plain.get_weights())


@pytest.mark.parametrize("distribution", ["uniform", "erk", "global"])
def test_every_distribution_meets_its_target_over_unequal_structures(distribution, images):
    plan = tfprune.ConstantSparsity(0.95, frequency=2)
    structure = tfprune.structures_for("x86")
    pruned = tfprune.prune(image_model(), plan, structure=structure, distribution=distribution)
    zeros = zeros_of(tfprune.strip_pruning(fit(pruned, images, epochs=2)))
    weights = [own.weight for layer in pruned_layers(pruned) for own in layer.pruned]
    found = [zeros[short(weight.path)] for weight in weights]
    assert len(found) == 4
    total = sum(part.size for part in found)
    assert sum(part.sum() for part in found) == pytest.approx(0.95 * total, abs=4)
    blocks = zeros["classes/kernel"].reshape(4, 4, 3)
    assert (blocks.all(axis=1) == blocks.any(axis=1)).all()


def test_a_rule_prunes_single_weights_where_the_target_would_not(images):
    rules = [("stem/.*", 0.5), ("classes/.*", None)]
    structure = tfprune.structures_for("wasm")
    pruned = tfprune.prune(image_model(), HIGH, structure=structure, rules=rules)
    assert pruned.get_layer("stem").structure == ELEMENTS
    assert type(pruned.get_layer("classes")) is layers.Dense


def test_structures_are_in_the_file_and_training_goes_on(images, tmp_path):
    plan = tfprune.PolynomialDecay(0.5, 0.97, begin_step=0, end_step=8, frequency=2)
    structure = tfprune.structures_for("wasm", quantize="int8")
    pruned = fit(tfprune.prune(image_model(), plan, structure=structure), images)
    pruned.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    pairs = list(zip(pruned_layers(pruned), pruned_layers(loaded), strict=True))
    assert len(pairs) == 4
    for one, other in pairs:
        assert [own.structure for own in one.pruned] == [own.structure for own in other.pruned]
    separable = loaded.get_layer("separable")
    assert list(separable.structure) == [None, ELEMENTS]
    assert [own.weight.name for own in separable.pruned] == ["pointwise_kernel"]
    fit(loaded, images, optimizer=None)
    assert np.mean(tfprune.strip_pruning(loaded).get_layer("pointwise").kernel == 0) > 0.95


def test_a_layer_wrapped_by_hand_resolves_its_structures_when_built():
    structure = tfprune.structures_for("x86")
    layer = tfprune.PrunedLayer(layers.LSTM(8), HIGH, structure=structure)
    layer.build((None, 5, 6))
    assert [own.structure for own in layer.pruned] == [ELEMENTS, Block(4, 1)]
    copy = tfprune.PrunedLayer.from_config(layer.get_config())
    assert copy.structure == structure
    listed = tfprune.PrunedLayer(
        layers.LSTM(8), HIGH, structure=[None, tfprune.NofM(2, 4, 0)], scorer=scorers.Taylor()
    )
    assert listed.distribution == "uniform"  # N:M fixes a sparsity, whatever the scorer prefers
    with pytest.raises(ValueError, match="structures_for|leaves it dense"):
        tfprune.PrunedLayer(layers.DepthwiseConv2D(3), HIGH, structure=structure).build(
            (None, 8, 8, 4)
        )
    with pytest.raises(ValueError, match="`structure` must have one entry.*2.*Received: 1"):
        tfprune.PrunedLayer(layers.LSTM(8), HIGH, structure=[ELEMENTS]).build((None, 5, 6))


def test_sensitivity_takes_target_structures(images):
    structure = tfprune.structures_for("size")
    found = tfprune.sensitivity(
        image_model(), images, "magnitude", "mse", sparsities=[0.5], structure=structure
    )
    names = ["classes/kernel", "pointwise/kernel", "separable/pointwise_kernel", "spatial/kernel"]
    assert sorted(map(short, found.losses)) == names


def test_unknown_targets_and_quantizations_are_refused():
    with pytest.raises(ValueError, match="'auto', 'arm64', 'wasm', 'x86'.*target='toaster'"):
        tfprune.structures_for("toaster")
    with pytest.raises(ValueError, match="'int8_weights'.*quantize='int3'"):
        tfprune.structures_for("x86", quantize="int3")
    with pytest.raises(TypeError, match=r"structures_for\(target\).*'wasm'"):
        tfprune.prune(image_model(), HIGH, structure="wasm")
    assert len(QUANTIZE) == 6


def test_the_command_line_takes_a_target(tmp_path, capsys):
    image_model().save(tmp_path / "m.keras")
    command = ["prune", str(tmp_path / "m.keras"), "--sparsity", "0.95", "--structure"]
    assert cli.main([*command, "target:x86:dynamic"]) == 0
    model = keras.saving.load_model(tmp_path / "m-pruned.keras")
    kernel = model.get_layer("classes").kernel.numpy() == 0
    assert (kernel.all(axis=0) == kernel.any(axis=0)).all() and kernel.any()
    assert not (model.get_layer("stem").kernel.numpy() == 0).any()
    for text, message in (
        ("target:ios", "NAME auto, arm64, wasm, x86, size or microcontroller"),
        ("target:wasm:int3", "QUANTIZE float16, int8_weights, dynamic, int8 or int4"),
        ("targets:wasm", "target:NAME"),
    ):
        assert message in error_of(capsys, *command, text)
