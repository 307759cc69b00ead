"""Every public parameter refuses what it cannot use, by name, before anything changes.

Public functions are found (`tests.support.public.api`), so that a new one is tested as soon as it
is there; the arguments come from `tests.support.public.arguments`.
"""

import re
import warnings

import keras
import numpy as np
import pytest

import tfprune
from tests.support.public.api import called, parameters, public_callables
from tests.support.public.arguments import NOT_RUN, World, arguments_of, bound
from tests.support.public.bad_values import BAD, numpy_numbers, taken_by

CALLABLES = public_callables()


@pytest.fixture(scope="module")
def world():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield World()


@pytest.fixture(autouse=True)
def without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def complaint(function, arguments, parameter):
    """What is wrong with how a call is refused; None if nothing is."""
    try:
        called(function, arguments)
    except (TypeError, ValueError) as error:
        text = str(error)
        named = re.search(rf"`{parameter}\b|\b{parameter}\[?\w*\]?=", text)
        if named and "Received" in text:
            return None
        return f"unnamed {type(error).__name__}: {text[:150]!r}"
    except Exception as error:  # noqa: BLE001  # any other is raw
        return f"raw {type(error).__name__}: {str(error)[:150]!r}"
    return "passes"


@pytest.mark.parametrize("name", CALLABLES)
def test_bad_arguments_are_refused_by_name_and_change_nothing(name, world):
    place = CALLABLES[name]
    arguments = arguments_of(world, name, *place)
    faults = []
    for parameter, found in parameters(*place).items():
        taken = taken_by(name, parameter)
        assert taken is not None, f"say in bad_values.TAKEN what `{parameter}` takes"
        for label, bad in BAD.items():
            if label in taken:
                continue
            function, before = bound(world, name, *place), world.state()
            value = (bad,) if found.kind is found.VAR_POSITIONAL else bad
            fault = complaint(function, {**arguments, parameter: value}, parameter)
            if fault is None and world.state() != before:
                fault = "changes something"
            if fault is not None:
                faults.append(f"{parameter}={label}: {fault}")
    assert not faults, f"{name}:\n" + "\n".join(faults)


@pytest.mark.parametrize("name", [name for name in CALLABLES if name not in NOT_RUN])
def test_the_arguments_that_the_others_are_tried_beside_are_right(name, world):
    place = CALLABLES[name]
    called(bound(world, name, *place), arguments_of(world, name, *place))


@pytest.mark.parametrize("name", CALLABLES)
def test_numbers_of_numpy_are_numbers(name, world):
    place = CALLABLES[name]
    for parameter in parameters(*place):
        for number in numpy_numbers(name, parameter):
            function = bound(world, name, *place)
            arguments = {**arguments_of(world, name, *place), parameter: number}
            if name not in NOT_RUN:
                called(function, arguments)
            else:
                with pytest.raises(ValueError, match="`paths?` must|path|must be None unless"):
                    called(function, arguments)


def test_numbers_of_numpy_are_saved_with_a_model(tmp_path, world):
    schedule = tfprune.PolynomialDecay(
        np.float32(0), np.float64(0.5), np.int64(0), np.int32(9), np.float32(3), np.uint8(3)
    )
    structure = tfprune.Block(np.int64(2), np.int64(1))
    scorer = tfprune.scorers.WoodFisher(np.int64(9), damping=np.float32(0.5))
    pruned = tfprune.prune(world.model, schedule, structure=structure, scorer=scorer)
    pruned.save(tmp_path / "model.keras")
    layer = keras.saving.load_model(tmp_path / "model.keras").layers[1]
    assert (layer.schedule, layer.structure, layer.scorer) == (schedule, structure, scorer)
