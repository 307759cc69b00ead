"""factorize on whole models: budgets, data, rules, what it returns and what it refuses."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tests.support.jax_session import run_on_jax

ROWS = 48


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    mixed = random.normal(size=(12, 10 * 10 * 3))  # pixels that depend on each other
    return (random.normal(size=(ROWS, 12)) @ mixed).reshape(ROWS, 10, 10, 3).astype("float32")


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((10, 10, 3))
    x = layers.Conv2D(16, 3, activation="relu", padding="same", name="first")(inputs)
    x = layers.Conv2D(24, 3, strides=2, use_bias=False, name="second")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(8, 1, name="pointwise")(x)
    x = layers.Dense(32, activation="relu", name="hidden")(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(10, name="out")(x), name="net")
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    return model


def _of(report):
    return {layer.layer: layer for layer in report.layers}


def test_a_rank_for_all_gives_plain_layers_and_says_what_stays(network):
    before = [weight.numpy() for weight in network.weights]
    small, told = tfprune.factorize(network, rank=8, verbose=False)
    names = [layer.name for layer in small.layers if layer.weights]
    assert names[:3] == ["first", "second_in", "second"]
    assert names[3].startswith("batch_normalization")
    assert {type(layer).__module__.partition(".")[0] for layer in small.layers} == {"keras"}
    found = _of(told)
    assert (found["second"].method, found["second"].ranks) == ("spatial SVD", (8,))
    assert found["first"].remark == "rank 8 has no fewer weights"
    assert found["pointwise"].remark == "its kernel has one position"
    assert told.parameters == small.count_params() < network.count_params()
    assert told.before.parameters == network.count_params()
    assert small.optimizer.learning_rate == network.optimizer.learning_rate
    for left, right in zip(before, network.weights, strict=True):
        np.testing.assert_array_equal(left, right.numpy())


def test_data_brings_the_outputs_of_the_model_nearer(network, images):
    wanted = np.asarray(network(images))
    for kind in ("spatial", "channel", "tucker"):
        off = {}
        for data in (None, images):
            small, told = tfprune.factorize(
                network, rank=0.4, convolutions=kind, data=data, verbose=False
            )
            off[told.examples] = np.linalg.norm(np.asarray(small(images)) - wanted)
        assert off[ROWS] < 0.9 * off[0]


def test_the_reported_error_is_that_of_the_outputs(images):
    inputs = keras.Input((10, 10, 3))
    conv = layers.Conv2D(16, 3, padding="same", use_bias=False, name="a")
    model = keras.Model(inputs, conv(inputs))
    small, told = tfprune.factorize(
        model, rank=6, convolutions="channel", data=images, verbose=False
    )
    wanted, got = (np.asarray(m(images)) for m in (model, small))
    off = np.linalg.norm(got - wanted) / np.linalg.norm(wanted)
    assert told.layers[0].error == pytest.approx(off, rel=0.05)  # a sample of the patches


def test_energy_is_kept_by_every_layer_with_the_smallest_rank_that_does(network):
    _, told = tfprune.factorize(network, energy=0.7, verbose=False)
    for layer in told.layers:
        if layer.method is not None:
            assert layer.error <= 0.3**0.5 + 1e-6
    kernel = network.get_layer("hidden").kernel.numpy()
    values = np.linalg.svd(kernel, compute_uv=False) ** 2
    shares = np.cumsum(values) / values.sum()
    assert _of(told)["hidden"].ranks == (int(np.argmax(shares >= 0.7)) + 1,)


@pytest.mark.parametrize("budget", [{"macs": 0.6}, {"parameters": 0.5}])
@pytest.mark.parametrize("convolutions", ["spatial", "tucker"])
def test_a_budget_of_the_whole_model_is_met_within_three_percent(network, budget, convolutions):
    _, told = tfprune.factorize(network, **budget, convolutions=convolutions, verbose=False)
    ((name, share),) = budget.items()
    before = told.before.multiply_adds if name == "macs" else told.before.parameters
    assert abs(getattr(told, name) - share * before) <= 0.03 * share * before


def test_rules_come_before_the_budget_and_ranks_are_rounded(network):
    rules = [("hidden", 5), ("second", None)]
    _, told = tfprune.factorize(network, energy=0.5, rules=rules, round_to=4, verbose=False)
    found = _of(told)
    assert found["hidden"].ranks == (5,) and found["second"].remark == "left by a rule"
    assert found["out"].ranks == (4,)


def test_words_and_sequences_become_narrow_ones():
    words = keras.Input(batch_shape=(4, 6), dtype="int32")
    x = layers.Embedding(50, 16, mask_zero=True, name="words")(words)
    x = layers.LSTM(12, return_sequences=True, stateful=True, name="lstm")(x)
    model = keras.Model(words, layers.Dense(50, name="logits")(x))
    batches = [(np.random.default_rng(seed).integers(0, 50, (4, 6)),) for seed in range(5)]
    small, told = tfprune.factorize(model, rank=6, data=batches, verbose=False)
    assert [layer.name for layer in small.layers[1:]] == [
        "words",
        "words_out",
        "lstm_in",
        "lstm",
        "logits_in",
        "logits",
    ]
    assert small.get_layer("words").mask_zero and small.get_layer("lstm").stateful
    assert _of(told)["lstm"].remark == "its recurrent kernel stays"
    _, by_work = tfprune.factorize(model, macs=0.8, data=batches, verbose=False)
    assert _of(by_work)["words"].remark == "no rank has fewer multiply-adds"


def test_shared_nested_and_tied_layers():
    shared = layers.Dense(12, name="shared")
    inner_in = keras.Input((12,))
    inner = keras.Model(inner_in, layers.Dense(12, name="shared")(inner_in), name="inner")
    inputs = keras.Input((12,))
    model = keras.Model(inputs, inner(shared(shared(inputs))))
    x = np.random.default_rng(0).normal(size=(40, 12)).astype("float32")
    small, told = tfprune.factorize(model, rank=3, data=x, verbose=False)
    assert len(small.weights) == 6 and [layer.ranks for layer in told.layers] == [(3,), (3,)]
    assert told.layers[0].before.macs == 2 * 144
    table = layers.ReversibleEmbedding(30, 8, name="tied")
    words = keras.Input((5,), dtype="int32")
    hidden = layers.Dense(8, name="between")(table(words))
    tied = keras.Model(words, table(hidden, reverse=True))
    _, told = tfprune.factorize(tied, rank=2, verbose=False)
    assert "ReversibleEmbedding" in _of(told)["tied"].remark


def test_the_result_trains_prunes_rounds_saves_and_exports(network, images, tmp_path):
    small, _ = tfprune.factorize(network, macs=0.6, data=images, verbose=False)
    targets = np.zeros((ROWS, 10), "float32")
    first = small.evaluate(images, targets, verbose=0)
    small.fit(images, targets, epochs=2, verbose=0)
    assert small.evaluate(images, targets, verbose=0) < first
    small.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded(images), small(images))
    sparse, _ = tfprune.one_shot(small, 0.5, "magnitude", verbose=False)
    plain = tfprune.strip_pruning(tfprune.quantize_aware(sparse))
    assert np.mean(plain.get_layer("second_in").kernel.numpy() == 0) > 0.2
    again, _ = tfprune.factorize(small, rank=1, verbose=False)  # factors of factors
    assert again.count_params() < small.count_params()
    report = tfprune.export.to_tflite(plain, tmp_path / "small.tflite", verify_inputs=images[:1])
    assert report.bytes < 4 * network.count_params()


def test_the_report_prints_and_becomes_json(network):
    _, told = tfprune.factorize(network, rank=4, verbose=False)
    text = str(told)
    assert "spatial SVD" in text and "its kernel has one position" in text
    assert repr(told).startswith("<FactorizationReport of 'net': 4 of 5 layers in factors, param")
    assert told.to_dict()["layers"][1]["ranks"] == (4,) and "<table" in told._repr_html_()
    assert told.compression_rate == told.before.parameters / told.parameters


REFUSED = {
    "none": ({}, "Exactly one of `rank`, `energy`.*Received: none"),
    "two": ({"rank": 2, "macs": 0.5}, "Exactly one.*rank=2, macs=0.5"),
    "rank 0": ({"rank": 0}, "`rank` must be an integer >= 1.*Received: rank=0"),
    "rank 1.0": ({"rank": 1.0}, r"fraction in \(0, 1\).*rank=1.0"),
    "above full": ({"rank": 100}, "`rank` must be at most 48.*Received: rank=100"),
    "energy": ({"energy": 1.5}, "`energy` must be.*energy=1.5"),
    "far": ({"macs": 0.01}, "within 3%.*macs=0.01 for 'net', of which at least [0-9.]+% stay"),
    "no rule": ({"rank": 2, "rules": [("nothing", 2)]}, "must match at least one"),
    "rule": ({"rank": 2, "rules": [("hidden", 99)]}, "at most the full rank, 32 of.*99"),
    "kind": ({"rank": 2, "convolutions": "cp"}, "`convolutions` must be one of.*cp"),
    "all": ({"energy": 1.0}, "At least one layer of 'net' must.*Received: `energy`, energy=1.0"),
    "data": ({"rank": 2, "data": np.zeros((4, 3))}, "must take the examples of `data`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_one_error_and_change_nothing(case, network):
    options, message = REFUSED[case]
    before = [weight.numpy().tobytes() for weight in network.weights]
    with pytest.raises(ValueError, match=message):
        tfprune.factorize(network, **options, verbose=False)
    assert [weight.numpy().tobytes() for weight in network.weights] == before


def test_models_without_graph_or_with_masks_are_refused():
    model = keras.Sequential([layers.Dense(8)])
    with pytest.raises(ValueError, match="must be built"):
        tfprune.factorize(model, rank=2)
    model.build((None, 16))
    with pytest.raises(ValueError, match="strip_pruning"):
        tfprune.factorize(tfprune.prune(model, 0.5), rank=2)


def test_jax_factorizes_and_trains(tmp_path):
    run_on_jax("""
        import keras, numpy as np, tfprune
        from keras import layers
        assert keras.config.backend() == "jax"
        model = keras.Sequential([keras.Input((3, 8, 8)), layers.Conv2D(
            8, 3, data_format="channels_first", name="a"), layers.Flatten(), layers.Dense(9)])
        x = np.random.default_rng(0).normal(size=(16, 3, 8, 8))
        small, told = tfprune.factorize(model, rank=4, data=x, verbose=False)
        assert [layer.ranks for layer in told.layers] == [(4,), (4,)]
        off = np.linalg.norm(small.predict(x, verbose=0) - model.predict(x, verbose=0))
        assert off < np.linalg.norm(model.predict(x, verbose=0))
        small.compile("adam", "mse")
        small.fit(x, np.ones((16, 9)), verbose=0)
        """)
