"""A dictionary by identity."""

import gc
import weakref

import keras
import pytest

from tfprune.support.by_identity import ByIdentity, each_once


class Thing:
    """Something that equals everything."""

    def __eq__(self, other):
        return True

    __hash__ = None


def test_equal_keys_are_told_apart():
    first, second = Thing(), Thing()
    found = ByIdentity([(first, 1), (second, 2)])
    assert (found[first], found[second], len(found)) == (1, 2, 2)
    del found[first]
    assert first not in found and second in found


def test_variables_of_equal_values_are_told_apart():
    a, b = keras.Variable([1.0, 2.0]), keras.Variable([1.0, 2.0])
    found = ByIdentity([(a, "a")])
    assert b not in found
    with pytest.raises(KeyError):
        found[b]


def test_keys_stay_alive_so_that_none_takes_the_place_of_another():
    found, thing = ByIdentity(), Thing()
    found[thing] = 1
    alive = weakref.ref(thing)
    del thing
    gc.collect()
    assert alive() is not None


def test_items_are_given_once_in_their_order():
    first, second = Thing(), Thing()
    once = list(each_once([second, first, second]))
    assert once[0] is second and once[1] is first and len(once) == 2
