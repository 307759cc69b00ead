"""Few values stay few in quantization-aware training, in training, files and loaded models."""

import keras
import numpy as np
import pytest
from keras import layers

import tfprune
from tfprune.compat import tfmot
from tfprune.compression.clustering.kept_levels import LevelsKept
from tfprune.compression.quantization import ChannelQuantizer

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(64, 12)).astype("float32"), np.arange(64) % 3


def _clustered(zeros=False):
    parts = [keras.Input((12,)), layers.Dense(24, "relu", name="a"), layers.Dense(3, name="b")]
    model = keras.Sequential(parts)
    if zeros:
        model = tfprune.strip_pruning(tfprune.prune(model, tfprune.OneShot(0.5)))
    return tfprune.strip_pruning(tfprune.cluster(model, 6))


def _train(model, eagerly=False):
    model.compile(keras.optimizers.Adam(0.01), LOSS, run_eagerly=eagerly)
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    return model


def _check(plain, like):
    for name in ("a", "b"):
        was, now = (model.get_layer(name).kernel.numpy() for model in (like, plain))
        np.testing.assert_array_equal(now == 0, was == 0)
        for channel in range(was.shape[1]):
            for value in np.unique(was[:, channel]):
                assert len(np.unique(now[was[:, channel] == value, channel])) == 1
        assert np.abs(now - was).max() > 0


@pytest.mark.parametrize("activations", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_entries_of_one_value_go_on_sharing_one_where_asked(activations, zeros, tmp_path):
    like = _clustered(zeros)
    options = {"activations": activations}
    aware = _train(tfprune.quantize_aware(like, preserve_levels=True, **options), eagerly=True)
    _check(tfprune.strip_pruning(aware), like)
    aware.save(tmp_path / "aware.keras")
    again = keras.saving.load_model(tmp_path / "aware.keras")
    _check(tfprune.strip_pruning(_train(again, eagerly=True)), like)
    free = tfprune.quantize_aware(like, **options)
    free = tfprune.strip_pruning(_train(free, eagerly=True))
    assert len(np.unique(free.get_layer("a").kernel[:, 0])) > 6


def test_weights_of_many_values_are_rounded_alone():
    layer = layers.Dense(40)
    layer.build((None, 300))
    assert LevelsKept.of(layer, ChannelQuantizer()).shared.levels == (None,)
    kernel = np.repeat(np.arange(40.0)[None], 300, axis=0) * 10 + RANDOM.integers(9, size=(300, 40))
    layer.kernel.assign(kernel)
    kept = LevelsKept.of(layer, ChannelQuantizer())
    assert kept.shared.levels == (9,) and kept.shared.channels == ((1,),)


@pytest.mark.parametrize("preserve_sparsity", [False, True])
def test_the_collaborative_guides_cluster_and_then_quantize(preserve_sparsity):
    like = _clustered(zeros=preserve_sparsity)
    annotated = tfmot.quantization.keras.quantize_annotate_model(like)
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(
        preserve_sparsity=preserve_sparsity
    )
    model = _train(tfmot.quantization.keras.quantize_apply(annotated, scheme))
    _check(tfprune.strip_pruning(model), like)


def test_the_collaborative_guide_prunes_and_then_quantizes():
    like = _clustered(zeros=True)
    annotated = tfmot.quantization.keras.quantize_annotate_model(like)
    scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    model = _train(tfmot.quantization.keras.quantize_apply(annotated, scheme))
    for was, now in zip(like.layers, tfprune.strip_pruning(model).layers):
        np.testing.assert_array_equal(was.kernel.numpy() == 0, now.kernel.numpy() == 0)
