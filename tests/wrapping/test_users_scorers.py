"""What a user's scorer, rule or distribution gives is checked before anything is set."""

import keras
import numpy as np
import pytest

import tfprune

HALF = tfprune.OneShot(0.5)


def wrong_shape(weights, evidence):
    return {name: np.ones(w.size) for name, w in weights.items()}


def wrong_shape_of_the_last(weights, evidence):
    last = list(weights)[-1]
    return {name: np.ones(3 if name == last else w.shape) for name, w in weights.items()}


def nothing(weights, evidence):
    return {}


def one_weight_only(weights, evidence):
    return dict(list(weights.items())[:1])


def complex_scores(weights, evidence):
    return {name: w + 1j for name, w in weights.items()}


def texts(weights, evidence):
    return {name: np.full(w.shape, "high") for name, w in weights.items()}


def a_list(weights, evidence):
    return list(weights.values())


def none(weights, evidence):
    return None


def not_a_number(weights, evidence):
    return {name: np.full(w.shape, np.nan) for name, w in weights.items()}


SCORERS = [
    wrong_shape,
    wrong_shape_of_the_last,
    nothing,
    one_weight_only,
    complex_scores,
    texts,
    a_list,
    none,
    not_a_number,
]


class Changing:
    """Magnitude, with one more answer that is wrong."""

    needs = frozenset({"inputs"})

    def __init__(self, **answers):
        self._answers = answers

    def __getattr__(self, name):
        try:
            answer = self.__dict__["_answers"][name]
        except KeyError:
            raise AttributeError(name) from None
        return lambda *arguments: answer

    def __call__(self, weights, evidence):
        return {name: np.abs(w) for name, w in weights.items()}


def values(model):
    return [variable.numpy().tobytes() for variable in model.variables]


def updater_of(model, **options):
    pruned = tfprune.prune(model, tfprune.OneShot(0.5, step=1), **options)
    optimizer = keras.optimizers.SGD()
    updater = tfprune.PruningUpdater(pruned, optimizer, data=np.ones((8, 6), "float32"))
    updater.begin()
    optimizer.iterations.assign(1)
    return pruned, updater


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("distribution", ["uniform", "global"])
def test_wrong_scores_are_refused_and_no_mask_is_set(mlp, scorer, distribution):
    pruned, updater = updater_of(mlp, scorer=scorer, distribution=distribution)
    before = values(pruned)
    with pytest.raises((TypeError, ValueError), match="(?s)Scores must.*Received"):
        updater.update()
    assert values(pruned) == before
    with pytest.raises((TypeError, ValueError), match="(?s)Scores must.*Received"):
        tfprune.one_shot(mlp, 0.5, scorer, distribution=distribution)


@pytest.mark.parametrize(
    "answers, message",
    [
        ({"compensate": None}, "New weights must.*Received: None"),
        ({"compensate": {"mlp/hidden/kernel": np.ones(3)}}, "New weights must.*shape"),
        ({"predict": "much"}, "`predict` must.*Received.*'much'"),
        ({"predict": None}, "`predict` must.*Received.*None"),
    ],
)
def test_a_wrong_answer_of_a_scorer_is_refused(mlp, data, answers, message):
    with pytest.raises((TypeError, ValueError), match=message):
        tfprune.one_shot(mlp, 0.5, Changing(**answers), data[0], verbose=False)


def test_wrong_accumulated_scores_are_refused_and_no_mask_is_set(mlp):
    scorer = Changing(accumulate={"hidden/kernel": np.ones(3)})
    schedule = tfprune.ConstantSparsity(0.5, frequency=1)
    pruned = tfprune.prune(mlp, schedule, scorer=scorer)
    optimizer = keras.optimizers.SGD()
    updater = tfprune.PruningUpdater(pruned, optimizer, data=np.ones((8, 6), "float32"))
    updater.begin()
    before = values(pruned)[:4]
    optimizer.iterations.assign(1)
    with pytest.raises(ValueError, match="Scores must.*Received"):
        updater.update()
    assert values(pruned)[:4] == before


@pytest.mark.parametrize(
    "distribution, message",
    [
        (lambda scores, sparsity, structures: {}, "`sparsities` must.*without"),
        (lambda scores, sparsity, structures: None, "`sparsities` must.*None"),
        (lambda scores, sparsity, structures: dict.fromkeys(scores, 1.5), r"\[0, 1\).*1.5"),
        (lambda scores, sparsity, structures: dict.fromkeys(scores, "a"), "number.*'a'"),
    ],
)
def test_a_wrong_answer_of_a_distribution_is_refused_and_no_mask_is_set(mlp, distribution, message):
    pruned, updater = updater_of(mlp, distribution=distribution)
    before = values(pruned)
    with pytest.raises((TypeError, ValueError), match=message):
        updater.update()
    assert values(pruned) == before
