"""seq2seq: the translation model, its parts for decoding, training, pruning and export."""

import keras
import numpy as np
import pytest

import tfprune
from models.translation import encoder_decoder
from tests.support.jax_session import run_on_jax

SOURCE = np.array([[4, 5, 6, 3], [4, 3, 0, 0]])
TARGET = np.array([[2, 5, 6], [2, 7, 0]])
NEXT = np.array([[5, 6, 3], [7, 3, 0]])


def build(units=4, **options):
    return encoder_decoder.seq2seq(units, source_vocabulary=10, target_vocabulary=12, **options)


def randomized(model):
    """The model with weights so large that nothing it computes is nearly zero."""
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape, scale=0.5) for w in model.get_weights()])
    return model


def teacher_forced(model, source=SOURCE, target=TARGET):
    return keras.ops.convert_to_numpy(model([source, target]))


def stepwise(model, source=SOURCE, target=TARGET):
    """The logits of the model, made one token at a time by its parts."""
    memory, keys, *states = encoder_decoder.encoder(model).predict_on_batch(source)
    step, logits = encoder_decoder.decoder_step(model), []
    for position in range(target.shape[1]):
        token = target[:, position : position + 1]
        here, *states = step.predict_on_batch([token, source, memory, keys, *states])
        logits.append(here)
    return np.stack(logits, axis=1)


def documented_count(u, d, source, target, attention="additive"):
    return (
        (source + target) * u
        + 4 * u * (4 * u + 2)
        + 4 * u * (3 * u + 1)
        + (d - 2) * 4 * u * (2 * u + 1)
        + 4 * u * (2 * u + 1)
        + (d - 1) * 4 * u * (3 * u + 1)
        + (2 * u * u + u if attention == "additive" else u * u)
        + (2 * u + 1) * u
        + (u + 1) * target
    )


@pytest.mark.parametrize("attention", encoder_decoder.ATTENTION)
@pytest.mark.parametrize(("units", "depth"), [(4, 2), (3, 4)])
def test_parameter_count_is_the_documented_formula(units, depth, attention):
    model = build(units, depth=depth, attention=attention)
    assert model.count_params() == documented_count(units, depth, 10, 12, attention)
    assert model.output_shape == (None, None, 12)


@pytest.mark.parametrize("scale", [0.05, 0.5])
def test_embeddings_begin_as_far_from_zero_as_asked(scale):
    model = build(32, **({"init_scale": scale} if scale != 0.05 else {}))
    for name in ("source_embedding", "target_embedding"):
        largest = np.abs(model.get_layer(name).embeddings.numpy()).max()
        assert 0.9 * scale < largest <= scale


def test_gnmt_of_four_layers_has_about_the_published_211_million_parameters():
    count = documented_count(1024, 4, 36_548, 36_548)
    assert count == 208_819_908 and abs(count / 211e6 - 1) < 0.02


def test_all_matrices_can_be_pruned():
    model = build(depth=3)
    paths = {w.path for layer in model.layers for w in tfprune.prunable.prunable_weights(layer)}
    kernels = {
        f"{layer}/lstm_cell/{kernel}"
        for layer in (
            "encoder_1/forward_lstm",
            "encoder_1/backward_lstm",
            *(f"{side}_{n}" for side in ("encoder", "decoder") for n in (2, 3)),
            "decoder_1",
        )
        for kernel in ("kernel", "recurrent_kernel")
    }
    dense = ("attention_query", "attention_memory", "attention_output", "logits")
    embeddings = {f"{side}_embedding/embeddings" for side in ("source", "target")}
    assert paths == kernels | embeddings | {f"{name}/kernel" for name in dense}


@pytest.mark.parametrize("options", [{}, {"depth": 1}, {"depth": 3, "attention": "luong"}])
def test_decoding_step_by_step_gives_the_logits_of_teacher_forcing(options):
    model = randomized(build(**options))
    expected = teacher_forced(model)
    assert np.abs(expected[0, 0] - expected[0, 1]).max() > 0.01
    np.testing.assert_allclose(stepwise(model), expected, atol=1e-5)


def test_padding_of_the_source_changes_nothing():
    model = randomized(build(depth=3))
    short = teacher_forced(model, SOURCE[1:, :2], TARGET[1:])
    np.testing.assert_allclose(teacher_forced(model)[1:], short, atol=1e-6)


def test_every_source_token_reaches_every_target_position():
    model = randomized(build())
    for position in range(3):
        changed = SOURCE.copy()
        changed[0, position] = 9
        difference = np.abs(teacher_forced(model, changed) - teacher_forced(model)).max(axis=-1)
        assert difference[0].min() > 1e-6 and difference[1].max() < 1e-6


def test_target_tokens_do_not_see_later_ones():
    model = randomized(build(depth=3))
    changed = TARGET.copy()
    changed[:, 2] = 8
    difference = np.abs(teacher_forced(model, target=changed) - teacher_forced(model))
    assert difference[:, :2].max() < 1e-6 < difference[:, 2].max()


def test_the_third_layer_is_residual():
    model = randomized(build(depth=3))
    for side in ("encoder_3", "decoder_3"):
        layer = model.get_layer(side)
        layer.set_weights([np.zeros(w.shape) for w in layer.get_weights()])
    shallow = build(depth=2)
    for layer in shallow.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    np.testing.assert_allclose(teacher_forced(model), teacher_forced(shallow), atol=1e-6)


def test_loss_ignores_padding():
    logits = np.random.default_rng(0).normal(size=(2, 3, 12)).astype("float32")
    found = float(encoder_decoder.loss()(NEXT, logits))
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    real = [(0, 0, 5), (0, 1, 6), (0, 2, 3), (1, 0, 7), (1, 1, 3)]
    np.testing.assert_allclose(found, -np.mean([np.log(chances[r]) for r in real]), rtol=1e-5)


@pytest.mark.parametrize("pruned", [False, True])
def test_training_learns_one_batch(pruned):
    model, callbacks = build(16, dropout=0.1), []
    if pruned:
        model = tfprune.prune(model, tfprune.ConstantSparsity(0.5))
        callbacks = [tfprune.UpdatePruningStep()]
    model.compile(keras.optimizers.Adam(0.05), encoder_decoder.loss(), jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # as a step that does it is traced twice
    history = model.fit([SOURCE, TARGET], NEXT, epochs=12, verbose=0, callbacks=callbacks).history
    losses = history["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_a_stripped_model_decodes_with_its_zeros():
    pruned = tfprune.prune(randomized(build(depth=3)), tfprune.OneShot(0.5))
    pruned.compile("sgd", encoder_decoder.loss(), run_eagerly=True)  # one step
    pruned.fit([SOURCE, TARGET], NEXT, verbose=0, callbacks=[tfprune.UpdatePruningStep()])
    with pytest.raises(ValueError, match="`model` must be a plain seq2seq model"):
        encoder_decoder.encoder(pruned)
    plain = tfprune.strip_pruning(pruned)
    assert np.mean(plain.get_layer("encoder_3").get_weights()[0] == 0) == 0.5
    np.testing.assert_allclose(stepwise(plain), teacher_forced(pruned), atol=1e-5)


def test_a_saved_model_is_loaded_with_its_masks(tmp_path):
    model = randomized(build(dropout=0.2))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(teacher_forced(loaded), teacher_forced(model))
    np.testing.assert_allclose(stepwise(loaded), teacher_forced(model), atol=1e-5)


@pytest.mark.parametrize("part", [encoder_decoder.encoder, encoder_decoder.decoder_step])
def test_parts_are_exported(part, tmp_path):
    model = randomized(build())
    kernel = model.get_layer("encoder_2").cell.kernel
    kernel.assign(np.where(np.arange(kernel.shape[0])[:, None] % 2, kernel.numpy(), 0.0))
    # The file appears only if it gives Keras's outputs.
    tfprune.export.to_tflite(part(model, source_length=5), tmp_path / "part.tflite")
    assert (tmp_path / "part.tflite").stat().st_size > 0


def test_the_model_runs_on_jax():
    code = """
import jax.numpy as jnp
import numpy as np
from models.translation import encoder_decoder
model = encoder_decoder.seq2seq(4, depth=1, source_vocabulary=10, target_vocabulary=12, dropout=0.1)
model.compile("sgd", encoder_decoder.loss())
source, target = np.array([[4, 5, 3], [4, 3, 0]]), np.array([[2, 5], [2, 7]])
model.fit([source, target], np.array([[5, 3], [7, 3]]), verbose=0)
given = encoder_decoder.encoder(model)(source)
step = encoder_decoder.decoder_step(model)
first = step([jnp.array(target[:, :1]), jnp.array(source), *given])[0]
print(np.abs(np.asarray(first - model([source, target])[:, 0])).max() < 1e-5)
"""
    assert run_on_jax(code) == "True\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be at least 1. Received: units=0"),
        ({"depth": 0}, "`depth` must be at least 1. Received: depth=0"),
        ({"source_vocabulary": 4}, "`source_vocabulary` must be at least 5. Rec"),
        ({"target_vocabulary": 4}, "`target_vocabulary` must be at least 5. Rec"),
        ({"source_length": 0}, "`source_length` must be at least 1. Received"),
        ({"target_length": 0}, "`target_length` must be at least 1. Received"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\). Received: dropout=1.0"),
        ({"init_scale": 0.0}, "`init_scale` must be > 0. Received: init_scale=0.0"),
        ({"attention": "dot"}, "`attention` must be one of additive, luong. .*'dot'"),
    ],
)
def test_impossible_options_are_refused(arguments, message):
    defaults = {"units": 4, "source_vocabulary": 10, "target_vocabulary": 12}
    with pytest.raises(ValueError, match=message):
        encoder_decoder.seq2seq(**{**defaults, **arguments})


def test_a_vocabulary_of_another_size_is_refused():
    model = build()
    encoder_decoder.require_vocabularies(model, 10, 12)
    with pytest.raises(ValueError, match="target vocabulary must be .* of 12 tokens. Rec.*: 13"):
        encoder_decoder.require_vocabularies(model, 10, 13)
    with pytest.raises(ValueError, match="source vocabulary must be .* of 10 tokens. Rec.*: 11"):
        encoder_decoder.require_vocabularies(model, 11, 12)


@pytest.mark.parametrize(
    "part",
    [encoder_decoder.encoder, encoder_decoder.decoder_step, encoder_decoder.vocabularies],
)
def test_another_model_has_no_parts(part, mlp):
    with pytest.raises(ValueError, match="`model` must be a plain seq2seq model .*'mlp'"):
        part(mlp)
