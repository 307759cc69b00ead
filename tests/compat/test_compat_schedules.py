"""Schedules of tfprune.compat.tfmot: ranges, configs, and classes of the user's."""

import json

import keras
import numpy as np
import pytest

import tfprune
from tests.support.compat.cases import Staircase, fit, small_model, sparsities
from tfprune.compat import schedules, tfmot


@pytest.mark.parametrize(
    "arguments",
    [
        {"begin_step": -1},
        {"end_step": -1},
        {"end_step": 5},
        {"end_step": 10},
        {"frequency": 0},
        {"initial_sparsity": -0.1},
        {"final_sparsity": 1.0},
        {"final_sparsity": 80},
        {"initial_sparsity": 0.9},
    ],
)
def test_polynomial_decay_refuses_values_out_of_range(arguments):
    good = {"initial_sparsity": 0.0, "final_sparsity": 0.8, "begin_step": 10, "end_step": 20}
    tfmot.PolynomialDecay(**good)
    with pytest.raises(ValueError, match="must be"):
        tfmot.PolynomialDecay(**{**good, **arguments})


@pytest.mark.parametrize("wrong", [0.5, "1", None, True])
def test_schedule_refuses_steps_that_are_no_integers(wrong):
    with pytest.raises(TypeError, match="`begin_step` must be an integer"):
        tfmot.ConstantSparsity(0.5, wrong)


@pytest.mark.parametrize(
    "schedule",
    [
        tfmot.ConstantSparsity(0.5, np.int32(3), frequency=np.int64(7)),
        tfmot.PolynomialDecay(0.1, 0.9, 0, np.ceil(9.5).astype(np.int32), power=2),
    ],
)
def test_schedule_config_is_json_and_round_trips(schedule):
    config = json.loads(json.dumps(schedule.get_config()))
    assert config["class_name"] == type(schedule).__name__
    copy = type(schedule).from_config(config["config"])
    assert [copy(step) for step in range(20)] == [schedule(step) for step in range(20)]
    assert schedules.to_core(copy) == schedules.to_core(schedule)


@pytest.mark.parametrize(
    "schedule",
    [
        tfmot.ConstantSparsity(0.5, 3, end_step=20, frequency=7),
        tfmot.ConstantSparsity(0.5, 0, end_step=-1, frequency=9),
        tfmot.PolynomialDecay(0.0, 0.8, 5, 38, frequency=10),
    ],
)
def test_updates_of_the_core_are_the_steps_at_which_the_schedule_says_so(schedule):
    asked = [step for step in range(60) if schedule(step)[0]]
    core = schedules.to_core(schedule)
    custom = schedules.CustomSchedule(schedule)
    for candidate in (core, custom):
        fired, step = [], -1
        while (step := candidate.next_update(step)) is not None and step < 60:
            fired.append(step)
        assert fired == asked
    assert [core(step) for step in asked] == [custom(step) for step in asked]


def test_schedule_that_never_prunes_is_searched_a_bounded_number_of_steps():
    calls = []

    class Never(Staircase):
        def __call__(self, step):
            calls.append(step)
            return False, 0.5

    custom = schedules.CustomSchedule(Never(0.5))
    assert custom.next_update(-1) is None
    searched = len(calls)
    assert custom.next_update(0) is None
    assert len(calls) == searched + 1


def test_schedule_beyond_the_search_is_found_in_time():
    late = schedules.CustomSchedule(tfmot.ConstantSparsity(0.5, 25_000))
    assert late.next_update(-1) is None
    assert late.next_update(20_000) == 25_000
    assert late.next_update(24_999) == 25_000
    assert late.next_update(0) is None


def test_schedule_class_of_the_users_drives_training():
    model = tfmot.prune_low_magnitude(small_model(), Staircase(0.5))
    masks = []

    class Take(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            masks.append(sparsities(self.model)[0])

    model.compile("sgd", "mse")
    x, y = np.ones((42, 8, 3), np.float32), np.zeros((42, 2), np.float32)
    callbacks = [Take(), tfmot.UpdatePruningStep()]
    model.fit(x, y, batch_size=1, verbose=0, callbacks=callbacks)
    expected = [0.0] * 19 + [5 / 24] * 10 + [7 / 24] * 10 + [10 / 24] * 3
    assert masks == pytest.approx(expected)  # of 24 weights, at 0.2, 0.3 and 0.4


def test_schedule_class_of_the_users_that_returns_tensors_works():
    class Tensors(Staircase):
        def __call__(self, step):
            step = keras.ops.cast(step, "int32")
            return keras.ops.equal(step % 2, 0), keras.ops.cast(0.5, "float32")

    assert sparsities(fit(tfmot.prune_low_magnitude(small_model(), Tensors(0.5)))) == [0.5] * 3


def test_schedule_class_of_the_users_asking_too_much_is_named():
    class Percent(Staircase):
        def __call__(self, step):
            return True, 80.0

    model = tfmot.prune_low_magnitude(small_model(), Percent(0.8))
    with pytest.raises(ValueError, match=r"`Percent\(\d+\)\[1\]` must be in \[0, 1\)"):
        fit(model)


def test_subclass_of_a_schedule_keeps_what_it_overrides():
    class Doubled(tfmot.ConstantSparsity):
        def __call__(self, step):
            prune, sparsity = super().__call__(step)
            return prune, 2 * sparsity

    model = tfmot.prune_low_magnitude(small_model(), Doubled(0.25, 0, frequency=1))
    assert sparsities(fit(model)) == [0.5] * 3


def test_model_with_a_schedule_class_of_the_users_is_saved_and_loaded(tmp_path):
    model = tfmot.prune_low_magnitude(small_model(), Staircase(0.5), sparsity_m_by_n=(1, 4))
    path = tmp_path / "model.keras"
    model.save(path)
    with tfmot.prune_scope():
        loaded = keras.models.load_model(path)
    schedule = loaded.layers[0].schedule
    assert schedule.schedule.top == 0.5
    assert [schedule(step) for step in (0, 20, 90)] == [0.0, 0.2, 0.25]


def test_unknown_schedule_class_in_a_file_is_named(tmp_path):
    class Unregistered(Staircase):
        pass

    path = tmp_path / "model.keras"
    tfmot.prune_low_magnitude(small_model(), Unregistered(0.5)).save(path)
    with pytest.raises((TypeError, ValueError), match="Unregistered"):
        keras.models.load_model(path)
    loaded = keras.models.load_model(path, custom_objects={"Unregistered": Unregistered})
    assert loaded.layers[0].schedule.schedule.top == 0.5


def test_model_with_a_plain_schedule_is_saved_as_the_core_saves_it():
    model = tfmot.prune_low_magnitude(small_model(), tfmot.ConstantSparsity(0.5, 0))
    assert model.layers[0].schedule == tfprune.ConstantSparsity(0.5)


def test_schedules_of_the_core_are_taken_too():
    model = tfmot.prune_low_magnitude(small_model(), tfprune.OneShot(0.75))
    assert sparsities(fit(model)) == [0.75] * 3
