"""compress: a budget is met by what is measured, and the rest stays as it was."""

import logging
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfprune
from tfprune.calibration.example_source import ExampleSource
from tfprune.compression.budget_search import building, meeting, searching, starts
from tfprune.compression.budget_search.losses import How, LossMeter, pruned_values
from tfprune.compression.budget_search.places import places_of
from tfprune.export.run import micro
from tfprune.wrapping.pruned_layer import pruned_layers

layers = keras.layers
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def images():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, 8, 8, 1), y


@pytest.fixture(scope="module")
def trained(images):
    keras.utils.set_random_seed(0)
    parts = [
        keras.Input((8, 8, 1)),
        layers.Conv2D(8, 3, use_bias=False, name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(48, "relu", name="hidden"),
        layers.Dense(10, name="out"),
    ]
    model = keras.Sequential(parts, name="digits")
    model.compile(keras.optimizers.Adam(0.005), LOSS, metrics=["accuracy"])
    model.fit(*images, batch_size=64, epochs=4, verbose=0)
    return model


def _compressed(trained, images, budget, **options):
    given = {"scorer": "magnitude", "examples": 300, "verbose": False, **options}
    before = [np.array(weight) for weight in trained.get_weights()]
    small, plan = tfprune.compress(trained, budget, images, **given)
    for old, new in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for name, most in plan.budget.items():
        assert 0.97 * most <= plan.after[name] <= most
    assert plan.loss_after < plan.loss_before + 1.0
    return small, plan


def test_a_file_is_within_three_per_cent_of_its_bytes_and_training_keeps_what_was_chosen(
    trained, images, tmp_path, capsys
):
    small, plan = _compressed(
        trained, images, {"bytes": 0.12}, methods=["pruning", "bits"], verbose=True
    )
    assert "target='size', quantize='int8_weights'" in capsys.readouterr().out
    pruned = {each.weight: each.option.sparsity for each in plan.weights if each.option.sparsity}
    assert pruned and not plan.is_plain and small.evaluate(*images, verbose=0)[1] > 0.85
    small.fit(*images, verbose=0)
    plain = tfprune.strip_pruning(small)
    for weight in plain.weights:
        if weight.path in pruned:
            assert np.mean(np.array(weight) == 0) == pytest.approx(pruned[weight.path], abs=0.01)
    told = tfprune.export.to_tflite(
        plain, tmp_path / "small.tflite", target=plan.target, quantize=plan.quantize
    )
    assert told.bytes <= 1.01 * plan.after["bytes"]  # training frees or takes none


def test_multiply_adds_go_by_factors_or_channels_and_need_no_file(trained, images):
    for method, left in (("rank", 0.6), ("channels", 0.5)):
        small, plan = _compressed(trained, images, {"macs": left}, methods=[method])
        assert (
            plan.is_plain
            and not pruned_layers(small)
            and small.count_params() < trained.count_params()
        )
        assert plan.channels == (1 if method == "rank" else pytest.approx(left, rel=0.05))
        assert plan.measured == min(each.measured for each in plan.tried if each.measured)


@pytest.mark.parametrize("left, methods", [(0.6, ["channels"]), (0.2, ["channels", "bits"])])
def test_bytes_are_met_by_channels_and_bits_alone(trained, images, left, methods):
    small, plan = _compressed(trained, images, {"bytes": left}, methods=methods)
    assert plan.channels < 1 and (plan.quantize is None) == (methods == ["channels"])
    assert not any(each.option.sparsity or each.option.rank for each in plan.weights)


def test_factors_get_few_values_where_that_loses_less_than_a_lower_rank():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), layers.Dense(64, use_bias=False, name="map")])
    numbers = np.random.default_rng(0)
    kernel = numbers.normal(size=(64, 12)) @ numbers.normal(size=(12, 64)) / 50
    model.layers[0].set_weights([kernel])
    x = numbers.normal(size=(200, 64)).astype("float32")
    given = {"loss": "mse", "methods": ["rank", "levels", "bits"], "verbose": False}
    small, plan = tfprune.compress(model, {"gzip_bytes": 0.11}, (x, x @ kernel), **given)
    first, *factors = plan.weights
    assert first.weight.endswith("map/kernel") and first.shape == (64, 64)
    best = min((each for each in plan.tried if each.measured), key=lambda each: each.measured)
    assert "factors for 1 weights" in best.what and best.measured == plan.measured
    rank = first.option.rank
    assert [each.shape for each in factors] == [(64, rank), (rank, 64)]
    alone = [each.predicted for each in plan.tried if "factors" not in each.what]
    assert plan.loss_after < 0.5 * min(alone)
    for weight, each in zip(tfprune.strip_pruning(small).weights, factors, strict=True):
        assert weight.path == each.weight and each.option.levels <= 64
        values = np.array(weight)
        assert max(len(np.unique(column)) for column in values.T) <= each.option.levels


def test_few_values_pay_after_gzip_and_rules_leave_weights_as_they_are(trained, images):
    small, plan = _compressed(
        trained,
        images,
        {"gzip_bytes": 0.1},
        methods=["pruning", "levels", "bits"],
        rules=[("out", None)],
    )
    options = {each.weight: each.option for each in plan.weights}
    assert "digits/out/kernel" not in options
    few = {path: own.levels for path, own in options.items() if own.levels}
    assert few
    plain = tfprune.strip_pruning(small)
    for weight in plain.weights:
        if weight.path in few and "hidden" in weight.path:
            assert len(np.unique(weight)) <= few[weight.path]
        if weight.path.endswith("out/kernel"):
            np.testing.assert_array_equal(weight, trained.get_layer("out").kernel)


def test_channels_that_a_left_weight_makes_or_reads_stay(trained, images):
    options = {"methods": ["channels"], "rules": [("out", None)]}
    small, plan = _compressed(trained, images, {"macs": 0.65}, **options)
    assert plan.channels < 1 and small.get_layer("hidden").units == 48
    np.testing.assert_array_equal(small.get_layer("out").kernel, trained.get_layer("out").kernel)
    with pytest.raises(ValueError, match="within reach of channels.*got as far as"):
        rules = [("out", None), ("hidden", None)]  # of which one reads what the convolution makes
        tfprune.compress(trained, {"macs": 0.65}, images, **{**options, "rules": rules})


def test_tensorflow_says_nothing_about_the_many_losses_that_are_compiled(trained, images):
    logger, levels = tf.get_logger(), []

    def loss(y, outputs):
        levels.append(logger.level)
        return LOSS(y, outputs)

    before = logger.level
    examples = ExampleSource(images).take(4, seed=0)
    LossMeter(trained, examples, loss, trained)()
    assert levels[-1] >= logging.ERROR and logger.level == before


def test_sparsities_that_are_only_tried_warn_of_nothing(trained, images):
    taken = ExampleSource(images).take(4, seed=0)
    structures = tfprune.structures_for("x86", quantize="int8")  # blocks, too few for every unit
    how = How(taken, LOSS, "magnitude", structures, False)
    found = places_of(trained, structures, ["pruning"], None)
    places = [place for place in found if place.structure is not None]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert len(list(pruned_values(trained, places, how))) == 6


def test_bits_do_for_weights_that_are_frozen_or_left_by_rules_and_the_plan_names_the_frozen(
    trained, images
):
    frozen = keras.models.clone_model(trained)
    frozen.set_weights(trained.get_weights())
    frozen.trainable = False
    for model, rules in ((trained, [(".*", None)]), (frozen, None)):
        given = {"methods": ["pruning", "bits"], "rules": rules, "loss": LOSS}
        small, plan = _compressed(model, images, {"bytes": 18_000}, **given)
        assert plan.quantize == "int8_weights" and plan.is_plain
        assert plan.predicted == pytest.approx(plan.measured, rel=0.05)  # rounding counts
        for old, new in zip(model.layers, small.layers, strict=True):
            assert old.trainable == new.trainable
            if "norm" not in old.name:  # whose statistics are estimated anew
                for before, after in zip(old.get_weights(), new.get_weights(), strict=True):
                    np.testing.assert_array_equal(before, after)
    assert "without zeros, factors and few values: 'digits/conv/kernel' is frozen" in str(plan)


def test_only_what_the_result_warns_of_is_told(trained, images, monkeypatch):
    def warning(text, function):
        def call(*given):
            warnings.warn(text, stacklevel=1)
            return function(*given)

        return call

    monkeypatch.setattr(searching, "narrowed", warning("a start", starts.narrowed))
    monkeypatch.setattr(meeting, "build", warning("a result", building.build))
    with pytest.warns(UserWarning) as told:
        _compressed(trained, images, {"macs": 0.5}, methods=["channels"])
    assert [str(each.message) for each in told if each.category is UserWarning] == ["a result"]


@pytest.mark.skipif(not micro.is_installed(), reason="needs the tflite-micro package")
def test_memory_of_a_microcontroller_is_met_by_channels(trained, images):
    options = {"methods": ["channels"], "examples": 300, "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # memory comes in steps
        _, plan = tfprune.compress(trained, {"arena": 0.7}, images, **options)
    assert plan.target == "microcontroller" and plan.quantize == "int8" and plan.channels < 1
    assert all(plan.after[name] <= most for name, most in plan.budget.items())


@pytest.mark.parametrize(
    ("budget", "options", "message"),
    [
        ({}, {}, "at least one of bytes, .*Received: budget={}"),
        ({"byte": 9}, {}, "did you mean 'bytes'.*Received: budget={'byte': 9}"),
        ({"macs": 0}, {}, r"`budget\['macs'\]` must be > 0"),
        ({"macs": 0.5}, {"methods": []}, "`methods` must be a list.*Received"),
        ({"macs": 0.5}, {"methods": ["prune"]}, "`methods` must be one of.*Received: .*'prune'"),
        ({"macs": 0.5}, {"rules": [("out", 3)]}, "must be \\(regex, None\\).*Received: 3"),
        ({"macs": 10**9}, {}, "below what 'digits' costs. .*Received: .*macs 16,896"),
        ({"macs": 0.01}, {"methods": ["rank"]}, "reach of rank.*most macs 168.96; .*far as macs"),
        ({"arena": 9}, {"target": "size"}, "needs target='microcontroller'. Received"),
    ],
)
def test_what_cannot_be_is_one_clear_error(trained, images, budget, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        tfprune.compress(trained, budget, images, examples=32, verbose=False, **options)


def test_zeros_that_a_model_was_pruned_to_before_stay_zeros_in_training(trained, images):
    pruned, _ = tfprune.one_shot(trained, 0.5, rules=[("conv", None)], verbose=False)
    small, plan = _compressed(
        pruned, images, {"macs": 0.6}, methods=["rank"], rules=[("out", None)], loss=LOSS
    )
    assert not plan.is_plain and [each.option.rank for each in plan.weights][-1]
    small.compile("adam", LOSS)
    small.fit(*images, verbose=0)
    plain = tfprune.strip_pruning(small)
    assert np.mean(np.array(plain.get_layer("out").kernel) == 0) == 0.5
    assert np.all(np.array(plain.get_layer("conv").kernel))


def test_a_plan_is_plain_values_and_a_page(trained, images):
    import json

    _, plan = _compressed(trained, images, {"macs": 0.7}, methods=["rank"])
    told = json.loads(json.dumps(plan.to_dict()))
    assert told["compression_rates"]["macs"] == pytest.approx(1 / 0.7, rel=0.03)
    assert "multiply-adds: 16,896" in str(plan) and "<table" in plan._repr_html_()
