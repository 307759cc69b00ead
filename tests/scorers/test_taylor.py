"""Taylor scores: closed forms, groups, running average, the true loss change of a quadratic."""

import numpy as np
import pytest

from tests.support.fake_evidence import FakeEvidence
from tfprune.scorers.taylor import Taylor
from tfprune.sparsity import masks
from tfprune.sparsity.structures import Block, Channel, NofM

RANDOM = np.random.default_rng(0)


class Quadratic(FakeEvidence):
    """Loss of example i: 1/2 w^T H w + b_i^T w, with gradient H w + b_i."""

    def __init__(self, size=6, examples=1, **options):
        random = np.random.default_rng(size)
        root = random.normal(size=(size, size))
        self.h, self.w = root + root.T, random.normal(size=size)
        self.b = random.normal(size=(examples, size))
        super().__init__({"w": self.w @ self.h + self.b}, self.h, **options)

    def change(self, step):
        moved = self.w + step
        return (
            0.5 * moved @ self.h @ moved
            - 0.5 * self.w @ self.h @ self.w
            + self.b.mean(axis=0) @ step
        )


def test_first_order_squares_each_micro_batch_before_averaging():
    found = FakeEvidence({"w": np.array([[1.0, 1.0], [3.0, 1.0], [-2.0, 1.0], [-2.0, 1.0]])})
    weights = {"w": np.array([1.0, 3.0])}
    # Means of two: (2, 1) and (-2, 1); of all four: (0, 1).
    assert Taylor(micro_batch=2)(weights, found)["w"].tolist() == [4.0, 9.0]
    assert Taylor(micro_batch=4)(weights, found)["w"].tolist() == [0.0, 9.0]
    assert Taylor(micro_batch=1)(weights, found)["w"].tolist() == [4.5, 9.0]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("on", ["weights", "gates"])
def test_one_chunk_equals_many_streamed(on, order):
    class Chunked(FakeEvidence):
        """The same micro-batches, several at a time: gradients in twos, curvature in threes."""

        def batches(self, size):
            return chunks(super().batches(size), 2)

        def gates(self, size):
            return chunks(super().gates(size), 2)

        def gate_curvature(self, size):
            return chunks(super().gate_curvature(size), 3)

    def chunks(batches, count):
        rows = list(batches)
        for start in range(0, len(rows), count):
            part = rows[start : start + count]
            yield {name: np.concatenate([row[name] for row in part]) for name in part[0]}

    weights = {"w": RANDOM.normal(size=(3, 4))}
    gradients = {"w": RANDOM.normal(size=(14, 3, 4))}
    options = {
        "gates": {"w": RANDOM.normal(size=(14, 4))},
        "curvature": {"w": RANDOM.normal(size=(14, 4))},
    }
    scorer = Taylor(on, order, micro_batch=2)
    one = scorer(weights, FakeEvidence(gradients, np.eye(12), **options))["w"]
    many = scorer(weights, Chunked(gradients, np.eye(12), **options))["w"]
    np.testing.assert_allclose(many, one, rtol=1e-12)


def test_gate_scores_are_mean_squared_gate_gradients_shared_by_the_weights_of_a_channel():
    gates = {"w": np.array([[1.0, 2.0], [-3.0, 0.0]])}
    found = FakeEvidence({"w": np.zeros((2, 4, 2))}, gates=gates)
    scores = Taylor("gates", micro_batch=1)({"w": np.ones((4, 2))}, found)["w"]
    assert Channel(-1).group_scores(scores).tolist() == [5.0, 2.0]
    assert (scores == scores[0]).all()


def test_second_order_gates_by_hand():
    options = {"gates": {"w": np.array([[1.0, 2.0]])}, "curvature": {"w": np.array([[4.0, -2.0]])}}
    found = FakeEvidence({"w": np.zeros((1, 1, 2))}, **options)
    # (-1 + 1/2 4)^2 and (-2 - 1/2 2)^2
    assert Taylor("gates", 2)({"w": np.ones((1, 2))}, found)["w"].tolist() == [[1.0, 9.0]]


def test_second_order_is_the_true_squared_loss_change_on_a_quadratic_model():
    found = Quadratic()
    scores = Taylor(order=2, probes=None)({"w": found.w}, found)["w"]
    for index, weight in enumerate(found.w):
        step = np.zeros(6)
        step[index] = -weight
        assert scores[index] == pytest.approx(found.change(step) ** 2, rel=1e-9)


def test_second_order_averages_the_true_squared_changes_of_single_examples():
    found = Quadratic(examples=5)
    scores = Taylor(order=2, micro_batch=1, probes=None)({"w": found.w}, found)["w"]
    g = found.per_example()["w"]
    expected = np.mean((-g * found.w + 0.5 * np.diag(found.h) * found.w**2) ** 2, axis=0)
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_second_order_gates_are_the_true_squared_loss_change_on_a_quadratic_model():
    found = Quadratic(size=4)  # the four values are gates at one
    at_one = found.h @ np.ones(4) + found.b[0]
    model = FakeEvidence(
        {"w": np.zeros((1, 2, 4))},
        gates={"w": at_one[np.newaxis]},
        curvature={"w": np.diag(found.h)[np.newaxis]},
    )
    channels = Channel(-1).group_scores(Taylor("gates", 2)({"w": np.ones((2, 4))}, model)["w"])

    def loss(z):
        return 0.5 * z @ found.h @ z + found.b[0] @ z

    for index, unit in enumerate(np.eye(4)):
        change = loss(1 - unit) - loss(np.ones(4))
        assert channels[index] == pytest.approx(change**2, rel=1e-9)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("structure", [Block(2, 3), Block(2, 2), Channel(-1), Channel(0)])
def test_groups_are_summed_before_they_are_squared(structure, order):
    w, g = RANDOM.normal(size=(5, 6)), RANDOM.normal(size=(3, 5, 6))
    h = RANDOM.normal(size=30)
    found = FakeEvidence({"w": g}, np.diag(h), structures={"w": structure})
    scores = Taylor(order=order, micro_batch=1, probes=None)({"w": w}, found)["w"]
    changes = -g * w + (order == 2) * 0.5 * h.reshape(5, 6) * w**2
    pooled = structure.group_scores(np.zeros((5, 6)))
    for group in range(pooled.size):
        chosen = np.zeros(pooled.size)
        chosen[group] = 1
        inside = structure.expand(chosen.reshape(pooled.shape), (5, 6)) > 0
        saliency = np.mean(changes[:, inside].sum(axis=1) ** 2)
        np.testing.assert_allclose(scores[inside], saliency / inside.sum(), rtol=1e-9)
        assert scores[inside].sum() == pytest.approx(saliency)


def test_patterns_are_scored_by_element():
    w, g = RANDOM.normal(size=(4, 4)), RANDOM.normal(size=(3, 4, 4))
    plain = Taylor()({"w": w}, FakeEvidence({"w": g}))["w"]
    pattern = Taylor()({"w": w}, FakeEvidence({"w": g}, structures={"w": NofM(2, 4)}))["w"]
    np.testing.assert_array_equal(plain, pattern)


def test_biases_are_scored_in_blocks_too():
    found = FakeEvidence({"b": np.array([[1.0, 2.0, 3.0]])}, structures={"b": Block(1, 2)})
    assert Taylor()({"b": np.ones(3)}, found)["b"].tolist() == [4.5, 4.5, 9.0]


def coupled_setting(structure, **shapes):
    weights = {name: RANDOM.normal(size=shape) for name, shape in shapes.items()}
    gradients = {name: RANDOM.normal(size=(6, *shape)) for name, shape in shapes.items()}
    gates = {
        name: RANDOM.normal(size=(6, 4)) for name, shape in shapes.items() if name != "ungated"
    }
    found = FakeEvidence(
        gradients,
        gates=gates,
        structures=dict.fromkeys(shapes, structure),
        groups=[frozenset(shapes) - {"alone"}],
    )
    found.examples_of_gates = gates
    return weights, found


@pytest.mark.parametrize("on", ["weights", "gates"])
def test_layers_of_a_skip_connection_are_one_group(on):
    channel = Channel(-1)
    shapes = {"alone": (2, 4), "a": (3, 3, 2, 4), "b": (1, 1, 4, 4)}
    weights, found = coupled_setting(channel, **shapes)
    scores = Taylor(on, micro_batch=1)(weights, found)
    pooled = {name: channel.group_scores(score) for name, score in scores.items()}
    changes = {
        name: (g * weights[name]).reshape(6, -1, 4).sum(axis=1)
        for name, g in found.per_example().items()
    }
    if on == "gates":
        changes = found.examples_of_gates
    together = np.mean((changes["a"] + changes["b"]) ** 2, axis=0)
    np.testing.assert_allclose(pooled["a"], together)
    np.testing.assert_allclose(pooled["b"], together)
    np.testing.assert_allclose(pooled["alone"], np.mean(changes["alone"] ** 2, axis=0))


def test_layers_of_a_skip_connection_lose_the_same_channels():
    channel = Channel(-1)
    weights, found = coupled_setting(channel, a=(3, 3, 2, 4), b=(1, 1, 4, 4))
    scores = Taylor()(weights, found)
    a, b = (masks.make_mask(scores[name], 0.5, structure=channel) for name in "ab")
    assert a[0, 0, 0].tolist() == b[0, 0, 0].tolist()


def test_elements_of_coupled_layers_are_scored_apart():
    weights, found = coupled_setting(NofM(2, 4), a=(3, 3, 2, 4), b=(1, 1, 4, 4))
    scores = Taylor()(weights, found)
    found._groups = ()
    for name, score in Taylor()(weights, found).items():
        np.testing.assert_array_equal(scores[name], score)


def test_gates_of_depthwise_kernels_are_their_last_two_axes():
    gates = {"w": np.arange(6.0)[np.newaxis]}
    found = FakeEvidence({"w": np.zeros((1, 3, 3, 3, 2))}, gates=gates)
    scores = Taylor("gates")({"w": np.ones((3, 3, 3, 2))}, found)["w"]
    np.testing.assert_allclose(scores.sum(axis=(0, 1)), np.arange(6.0).reshape(3, 2) ** 2)


def test_layers_that_lose_input_channels_are_scored_apart():
    weights, found = coupled_setting(Channel(-2), a=(3, 3, 2, 1), b=(1, 1, 4, 1))
    scores = Taylor()(weights, found)
    found._groups = ()
    for name, score in Taylor()(weights, found).items():
        np.testing.assert_array_equal(scores[name], score)


@pytest.mark.parametrize("on", ["weights", "gates"])
def test_depthwise_kernels_are_coupled_with_the_layer_before_them(on):
    structures = {"conv": Channel(-1), "depthwise": Channel(-2)}
    weights, found = coupled_setting(None, conv=(3, 3, 2, 4), depthwise=(3, 3, 4, 1))
    found.structures = structures
    scores = Taylor(on)(weights, found)
    pooled = {name: structures[name].group_scores(score) for name, score in scores.items()}
    np.testing.assert_allclose(pooled["conv"], pooled["depthwise"])
    changes = {
        "conv": (found.per_example()["conv"] * weights["conv"]).sum(axis=(1, 2, 3)),
        "depthwise": (found.per_example()["depthwise"] * weights["depthwise"]).sum(axis=(1, 2, 4)),
    }
    changes = found.examples_of_gates if on == "gates" else changes
    mean = sum(change.mean(axis=0) for change in changes.values())
    np.testing.assert_allclose(pooled["conv"], mean**2)


def test_layer_without_gates_shares_those_that_it_is_coupled_with():
    channel = Channel(-1)
    weights, found = coupled_setting(channel, a=(2, 4), ungated=(3, 4))
    scores = Taylor("gates")(weights, found)
    np.testing.assert_allclose(
        channel.group_scores(scores["ungated"]), channel.group_scores(scores["a"])
    )


def test_layers_without_gates_are_named():
    weights, found = coupled_setting(Channel(-1), alone=(2, 4), ungated=(3, 4))
    with pytest.raises(ValueError, match="needs a batch normalization .* 'ungated' without one"):
        Taylor("gates")(weights, found)


def test_gates_that_do_not_fit_the_kernel_are_refused():
    found = FakeEvidence({"w": np.zeros((1, 3, 5))}, gates={"w": np.ones((1, 4))})
    with pytest.raises(ValueError, match=r"Received: 4 channels for weight 'w' of shape \(3, 5\)"):
        Taylor("gates")({"w": np.ones((3, 5))}, found)


def test_running_average_weighs_the_past_by_the_momentum():
    past, now = {"w": np.array([1.0, 0.0])}, {"w": np.array([0.0, 2.0]), "new": np.ones(1)}
    average = Taylor(momentum=0.75).accumulate(past, now)
    assert average["w"].tolist() == [0.75, 0.5] and average["new"].tolist() == [1.0]
    assert Taylor(momentum=0.0).accumulate(past, now)["w"].tolist() == [0.0, 2.0]


def test_second_order_predicts_the_loss_change_of_a_separable_quadratic():
    found = Quadratic()
    found.h = np.diag(np.diag(found.h))
    exact = FakeEvidence({"w": found.w @ found.h + found.b}, found.h)
    pruned = np.where(np.abs(found.w) > 0.5, found.w, 0.0)
    change = found.change(pruned - found.w)
    scorer = Taylor(order=2, probes=None)
    assert scorer.predict({"w": found.w}, exact, {"w": pruned}) == pytest.approx(change)
    slope = (found.w @ found.h + found.b[0]) @ (pruned - found.w)
    assert Taylor().predict({"w": found.w}, exact, {"w": pruned}) == pytest.approx(slope)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"on": "filters"}, ValueError, "`on` must be one of 'weights', 'gates'"),
        ({"order": 3}, ValueError, "`order` must be one of 1, 2. Received: order=3"),
        ({"order": True}, TypeError, "`order` must be an integer"),
        ({"micro_batch": 0}, ValueError, "`micro_batch` must be >= 1. Received: micro_batch=0"),
        ({"momentum": 1.0}, ValueError, r"`momentum` must be in \[0, 1\). Received: momentum=1.0"),
        ({"momentum": float("nan")}, ValueError, "Received: momentum=nan"),
        ({"momentum": "0.9"}, TypeError, "`momentum` must be a number. Received: momentum='0.9'"),
        ({"probes": 0}, ValueError, "`probes` must be >= 1. Received: probes=0"),
    ],
)
def test_impossible_options_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Taylor(**arguments)
