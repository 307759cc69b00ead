"""Batches of several lengths, such as sentences in buckets, as the examples of scorers."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from models.translation import encoder_decoder
from tests.support.jax_session import run_on_jax
from tfprune.calibration.evidence import evidence_of
from tfprune.calibration.example_source import ExampleSource
from tfprune.calibration.examples import Examples, VaryingExamples

DRAWS = np.random.default_rng(0)
LENGTHS = (3, 5, 3, 4)  # of batches of 3, 2, 2 and 1


def batch(length, count):
    x = DRAWS.normal(size=(count, length, 2)).astype("float32")
    return x, DRAWS.normal(size=(count, length, 1)).astype("float32")


BATCHES = [batch(length, count) for length, count in zip(LENGTHS, (3, 2, 2, 1))]


def network():
    network = keras.Sequential(
        [keras.Input((None, 2)), layers.Dense(4, "relu", name="a"), layers.Dense(1, name="b")]
    )
    network.compile("sgd", "mse")
    return network


def sentences(length, count):
    source, target = (DRAWS.integers(4, 12, (count, length + more)) for more in (0, 1))
    source[0, -1] = target[0, -1] = encoder_decoder.PADDING
    return (source, target[:, :-1]), target[:, 1:]


def test_examples_are_kept_apart_by_shape():
    taken = ExampleSource(BATCHES).take_varying(None)
    assert [part.x.shape for part in taken.parts] == [(5, 3, 2), (2, 5, 2), (1, 4, 2)]
    assert taken.count == 8
    np.testing.assert_array_equal(
        taken.parts[0].x, np.concatenate([BATCHES[0][0], BATCHES[2][0]])
    )
    assert [part.count for part in taken.batches(2)] == [2, 2, 1, 2, 1]


def test_a_limit_counts_examples_of_all_shapes():
    taken = ExampleSource(BATCHES).take_varying(6)
    assert [part.x.shape for part in taken.parts] == [(4, 3, 2), (2, 5, 2)]
    again = ExampleSource(ExampleSource(BATCHES).take_varying(None)).take_varying(4, seed=1)
    assert again.count == 4 and len(again.parts) > 1


def test_one_shape_is_what_it_was():
    assert isinstance(ExampleSource([BATCHES[0], BATCHES[2]]).take_varying(None), Examples)
    taken = VaryingExamples((Examples(np.ones((2, 3))), Examples(np.ones((2, 4)))))
    assert taken.take(np.array([2, 3])).x.shape == (2, 4)


def test_where_one_shape_is_needed_the_others_are_refused():
    with pytest.raises(ValueError, match=r"one shape here: .*shapes \[\(3, 2\), \(3, 1\)\], then"):
        ExampleSource(BATCHES).take(None)


def test_axes_must_be_as_many_in_all_batches():
    odd = [BATCHES[0], (np.ones((2, 3, 2, 1), "float32"), np.ones((2, 3, 1), "float32"))]
    with pytest.raises(ValueError, match="must have the same structure"):
        ExampleSource(odd).take_varying(None)


def test_gradients_are_those_of_each_example_by_itself():
    pruned = tfprune.prune(network(), tfprune.OneShot(0.5))
    found = evidence_of(pruned, BATCHES, "mse").per_example()
    order = [x for at in (0, 2, 1, 3) for x in zip(*BATCHES[at])]
    for number, (x, y) in enumerate(order):
        alone = evidence_of(pruned, (np.stack([x, x]), np.stack([y, y])), "mse").per_example()
        for name, gradients in alone.items():
            np.testing.assert_allclose(found[name][number], gradients[0], rtol=1e-4, atol=1e-6)


def test_the_mean_counts_every_example_once():
    pruned = tfprune.prune(network(), tfprune.OneShot(0.5))
    many = [*BATCHES, batch(3, 40), batch(5, 33)]  # more than are differentiated at once
    evidence = evidence_of(pruned, many, "mse")
    for name, mean in evidence.mean().items():
        wanted = evidence.per_example()[name].mean(axis=0)
        np.testing.assert_allclose(mean, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scorer", ["taylor", "fisher", "woodfisher", "snip", "obd", "grasp"])
def test_scorers_prune_at_once_by_sentences_of_several_lengths(scorer):
    _, told = tfprune.one_shot(network(), 0.5, scorer, BATCHES, "mse", verbose=False)
    assert told.examples == 8 and np.isfinite(told.loss_after)


def test_reconstruction_and_batch_normalization_take_them():
    model = keras.Sequential(
        [keras.Input((None, 2)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    scorer = tfprune.scorers.Reconstruction()
    _, told = tfprune.one_shot(model, 0.5, scorer, BATCHES, "mse", verbose=False)
    assert told.batch_norm_examples == 8
    inputs = [x for x, _ in BATCHES]
    assert tfprune.refresh_batch_norm(model, [(x,) for x in inputs]) == 8
    seen = np.concatenate([model.layers[0](x).numpy().reshape(-1, 4) for x in inputs])
    np.testing.assert_allclose(model.layers[1].moving_mean, seen.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(model.layers[1].moving_variance, seen.var(axis=0), rtol=1e-4)


def test_low_rank_factors_are_found_on_them():
    model = keras.Sequential([keras.Input((None, 2)), layers.Dense(16), layers.Dense(12)])
    smaller, _ = tfprune.factorize(model, rank=4, data=BATCHES, verbose=False)
    assert smaller.count_params() < model.count_params()


def test_a_shape_that_the_model_cannot_take_is_one_line_before_anything_changes():
    model = keras.Sequential([keras.Input((3, 2)), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    given = [(x, y[:, 0]) for x, y in BATCHES]
    with pytest.raises(ValueError, match=r"must take the examples .*shapes \[\(5, 2\), \(1,\)\]"):
        tfprune.one_shot(model, 0.5, "taylor", given, verbose=False)


def test_a_translation_model_is_pruned_by_taylor_scores_in_training():
    model = encoder_decoder.seq2seq(4, depth=1, source_vocabulary=12, target_vocabulary=12)
    pruned = tfprune.prune(model, 0.5, scorer="taylor")
    pruned.compile("adam", encoder_decoder.loss())
    given = [sentences(length, 4) for length in LENGTHS]

    def batches():
        while True:
            yield from given

    updates = tfprune.UpdatePruningStep(data=given, examples=12, verbose=False)
    options = {"steps_per_epoch": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    pruned.fit(batches(), callbacks=[updates], **options)
    left = tfprune.report(tfprune.strip_pruning(pruned), verbose=False).parameters
    assert left.nonzeros < 0.6 * left.size


def test_on_jax_too():
    code = """
        import keras
        import numpy as np
        import tfprune

        draws = np.random.default_rng(0)
        batches = [
            (draws.normal(size=(count, length, 2)), draws.normal(size=(count, length, 1)))
            for count, length in ((3, 3), (2, 5))
        ]
        model = keras.Sequential([keras.Input((None, 2)), keras.layers.Dense(1)])
        _, told = tfprune.one_shot(model, 0.5, "fisher", batches, "mse", verbose=False)
        print(told.examples)
    """
    assert run_on_jax(code).split() == ["5"]
