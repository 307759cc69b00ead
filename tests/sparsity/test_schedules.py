import keras
import pytest

import tfprune
from tfprune.sparsity.schedules import as_schedule, final_sparsity
from tfprune.sparsity.stages import Stages


def updates(schedule, stop=10_000):
    steps, step = [], schedule.next_update(-1)
    while step is not None and step < stop:
        steps.append(step)
        step = schedule.next_update(step)
    return steps


def test_cubic_schedule_has_the_golden_values():
    schedule = tfprune.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=100, frequency=25)
    values = [schedule(step) for step in (0, 25, 50, 75, 100)]
    assert values == pytest.approx([0, 0.4625, 0.7, 0.7875, 0.8], abs=1e-12)


def test_polynomial_decay_is_constant_outside_its_span():
    schedule = tfprune.PolynomialDecay(0.2, 0.8, begin_step=10, end_step=20, frequency=1)
    assert [schedule(step) for step in (0, 10)] == pytest.approx([0.2, 0.2])
    assert [schedule(step) for step in (20, 21, 10**9)] == [0.8, 0.8, 0.8]


@pytest.mark.parametrize("power, halfway", [(1, 0.4), (2, 0.6), (3, 0.7)])
def test_power_sets_the_exponent(power, halfway):
    schedule = tfprune.PolynomialDecay(0.0, 0.8, 0, 100, power=power)
    assert schedule(50) == pytest.approx(halfway)


def test_updates_fire_at_begin_and_at_end_even_if_frequency_does_not_divide_the_span():
    schedule = tfprune.PolynomialDecay(0.0, 0.8, begin_step=0, end_step=250, frequency=100)
    assert updates(schedule) == [0, 100, 200, 250]
    assert schedule(updates(schedule)[-1]) == 0.8


def test_updates_start_at_begin_step():
    assert updates(tfprune.PolynomialDecay(0.0, 0.8, 30, 50, frequency=10)) == [30, 40, 50]
    assert updates(tfprune.ConstantSparsity(0.5, 7, 20, frequency=5)) == [7, 12, 17, 20]


def test_constant_sparsity_without_end_updates_forever():
    schedule = tfprune.ConstantSparsity(0.5, begin_step=2, frequency=100)
    assert schedule(1) == 0.0
    assert schedule(2) == schedule(10**9) == 0.5
    assert schedule.next_update(10**9) == 10**9 + 2


def test_one_shot_updates_once():
    schedule = tfprune.OneShot(0.9, step=3)
    assert updates(schedule) == [3]
    assert [schedule(2), schedule(3)] == [0.0, 0.9]


def test_a_users_function_is_a_schedule_that_updates_every_step():
    schedule = as_schedule(lambda step: step / 100)
    assert schedule(30) == 0.3
    assert updates(schedule, stop=4) == [0, 1, 2, 3]


def test_a_users_function_outside_its_range_is_reported_with_the_step():
    with pytest.raises(ValueError, match=r"schedule\(150\).*1\.5"):
        as_schedule(lambda step: step / 100)(150)


@keras.saving.register_keras_serializable("tests")
def half(step):
    return 0.5


SCHEDULES = [
    tfprune.PolynomialDecay(0.1, 0.8, 5, 50, power=2, frequency=7),
    tfprune.ConstantSparsity(0.5, 3, 9, frequency=2),
    tfprune.ConstantSparsity(0.5),
    tfprune.OneShot(0.4, 2),
    tfprune.FromFunction(half, frequency=3),
    Stages(0.9, 3),
    Stages(0.8, 4, "linear"),
    Stages(0.9, (0.5, 0.9)),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_every_schedule_rises_within_its_range_and_answers_the_same_again(schedule):
    asked = [schedule(step) for step in range(-1, 80)]
    assert all(0.0 <= value < 1.0 for value in asked)
    assert asked == sorted(asked)
    assert [schedule(step) for step in reversed(range(-1, 80))] == asked[::-1]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_updates_move_on_whatever_step_they_are_asked_from(schedule):
    steps = updates(schedule, stop=80)
    assert steps and all(later > earlier for earlier, later in zip(steps, steps[1:]))
    for step in range(-1, 60):
        following = [other for other in steps if other > step]
        found = schedule.next_update(step)
        assert found == (following[0] if following else None) or found >= 80


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_the_last_update_is_where_the_final_sparsity_is_reached(schedule):
    steps = updates(schedule, stop=80)
    assert schedule(steps[-1]) == schedule(10**6)
    if hasattr(schedule, "with_final_sparsity"):
        other = schedule.with_final_sparsity(0.25)
        assert final_sparsity(other) == other(10**6) == 0.25
        assert updates(other, stop=80) == steps


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_schedules_survive_serialization(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    assert keras.saving.deserialize_keras_object(config) == schedule


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((0.0, 0.8, 100, 100), ValueError, "begin_step=100, end_step=100"),
        ((0.0, 0.8, 100, 50), ValueError, "begin_step=100, end_step=50"),
        ((0.9, 0.8, 0, 100), ValueError, "initial_sparsity=0.9, final_sparsity=0.8"),
        ((0.0, 1.0, 0, 100), ValueError, "final_sparsity=1.0"),
        ((0.0, 80, 0, 100), ValueError, "never a percentage"),
        ((-0.1, 0.8, 0, 100), ValueError, "initial_sparsity=-0.1"),
        ((0.0, 0.8, 0.5, 100), TypeError, "begin_step=0.5"),
        ((0.0, 0.8, 0, 100.0), TypeError, "end_step=100.0"),
        ((0.0, 0.8, -1, 100), ValueError, "begin_step=-1"),
        ((0.0, "0.8", 0, 100), TypeError, "final_sparsity='0.8'"),
        ((0.0, float("nan"), 0, 100), ValueError, "final_sparsity=nan"),
        ((0.0, 0.8, 0, 100, 0), ValueError, "power=0"),
        ((0.0, 0.8, 0, 100, 3, 0), ValueError, "frequency=0"),
        ((0.0, 0.8, 0, 100, 3, 2.5), TypeError, "frequency=2.5"),
        ((0.0, 0.8, 0, True), TypeError, "end_step=True"),
    ],
)
def test_polynomial_decay_refuses_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        tfprune.PolynomialDecay(*arguments)


def test_other_schedules_refuse_bad_arguments():
    with pytest.raises(ValueError, match="target_sparsity=1.5"):
        tfprune.ConstantSparsity(1.5)
    with pytest.raises(ValueError, match="end_step=3"):
        tfprune.ConstantSparsity(0.5, begin_step=5, end_step=3)
    with pytest.raises(TypeError, match="step='3'"):
        tfprune.OneShot(0.5, step="3")
    with pytest.raises(TypeError, match="function=3"):
        tfprune.FromFunction(3)


def test_a_misspelled_keyword_is_refused():
    with pytest.raises(TypeError, match="final_sparcity"):
        tfprune.PolynomialDecay(initial_sparsity=0, final_sparcity=0.5, begin_step=0, end_step=9)


def test_a_number_is_the_end_of_the_cubic_schedule_and_a_class_or_text_is_none():
    assert as_schedule(0.5) == tfprune.PolynomialDecay(0.0, 0.5, begin=0.1, end=0.7)
    with pytest.raises(TypeError, match="schedule='0.5'"):
        as_schedule("0.5")
    with pytest.raises(TypeError, match="must be an instance"):
        as_schedule(tfprune.OneShot)
