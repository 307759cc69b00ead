"""What the clustering guides of tensorflow-model-optimization do, with the import line changed.

In own words and on small models: the clustering example, the comprehensive guide, and sparsity
preserving clustering.
"""

import gzip

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfprune.compat import tfmot
from tfprune.compat.tfmot.python.core.clustering.keras.experimental import cluster

cluster_weights = tfmot.clustering.keras.cluster_weights
CentroidInitialization = tfmot.clustering.keras.CentroidInitialization
STARTS = list(CentroidInitialization)
X = np.random.default_rng(0).normal(size=(40, 12, 12, 1)).astype("float32")
Y = np.arange(40) % 4


def network():
    return keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(12, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(4, name="dense"),
        ]
    )


def train(model, epochs=1, callbacks=()):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def values(layer):
    return len(np.unique(layer.kernel.numpy()))


@pytest.fixture(scope="module")
def base():
    return train(network())


def test_the_example_clusters_a_whole_model_and_its_file_is_smaller(base, tmp_path):
    clustered = cluster_weights(
        base, number_of_clusters=16, cluster_centroids_init=CentroidInitialization.LINEAR
    )
    train(clustered)
    final = tfmot.clustering.keras.strip_clustering(clustered)
    assert [values(final.get_layer(name)) for name in ("conv", "dense")] == [16, 16]

    def zipped(model):
        return len(gzip.compress(tf.lite.TFLiteConverter.from_keras_model(model).convert()))

    assert 2 * zipped(final) < zipped(base)


@pytest.mark.parametrize("start", STARTS)
def test_every_start_and_number_of_clusters_is_taken(base, start):
    clustered = cluster_weights(base, number_of_clusters=3, cluster_centroids_init=start)
    final = tfmot.clustering.keras.strip_clustering(clustered)
    assert 2 <= values(final.get_layer("dense")) <= 3


def test_the_comprehensive_guide_clusters_some_layers_new_layers_and_own_layers(base, tmp_path):
    params = {
        "number_of_clusters": 3,
        "cluster_centroids_init": CentroidInitialization.DENSITY_BASED,
    }

    def apply_to_dense(layer):
        return cluster_weights(layer, **params) if isinstance(layer, layers.Dense) else layer

    some = train(keras.models.clone_model(base, clone_function=apply_to_dense))
    final = tfmot.clustering.keras.strip_clustering(some)
    assert values(final.get_layer("dense")) == 3 and values(final.get_layer("conv")) > 50

    class OwnDense(layers.Dense, tfmot.clustering.keras.ClusterableLayer):
        def get_clusterable_weights(self):
            return [("kernel", self.kernel), ("bias", self.bias)]

    new = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Flatten(),
            cluster_weights(layers.Dense(10, "relu", name="new"), **params),
            cluster_weights(OwnDense(4, name="own"), **params),
        ]
    )
    train(new, epochs=2)
    with tfmot.clustering.keras.cluster_scope():
        new.save(tmp_path / "new.keras")
        loaded = keras.models.load_model(
            tmp_path / "new.keras", custom_objects={"OwnDense": OwnDense}
        )
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), new.predict(X, verbose=0))
    final = tfmot.clustering.keras.strip_clustering(train(loaded))
    assert values(final.get_layer("new")) == values(final.get_layer("own")) == 3
    assert len(np.unique(final.get_layer("own").bias.numpy())) <= 3
    listed = cluster_weights([layers.Flatten(), layers.Dense(2)], **params)
    assert [type(layer).__name__ for layer in listed] == ["Flatten", "PrunedLayer"]


def test_zeros_are_kept_and_channels_have_values_of_their_own_where_asked(base):
    pruned = tfmot.sparsity.keras.prune_low_magnitude(
        base, tfmot.sparsity.keras.ConstantSparsity(0.5, 0)
    )
    train(pruned, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
    sparse = tfmot.sparsity.keras.strip_pruning(pruned)
    clustered = cluster.cluster_weights(
        sparse,
        number_of_clusters=8,
        cluster_centroids_init=CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity=True,
    )
    final = tfmot.clustering.keras.strip_clustering(train(clustered))
    for name in ("conv", "dense"):
        kernel = final.get_layer(name).kernel.numpy()
        np.testing.assert_array_equal(kernel == 0, sparse.get_layer(name).kernel.numpy() == 0)
        assert values(final.get_layer(name)) == 8
    channels = tfmot.clustering.keras.strip_clustering(
        cluster_weights(base, 4, CentroidInitialization.LINEAR, cluster_per_channel=True)
    )
    kernel = channels.get_layer("conv").kernel.numpy().reshape(9, -1)
    assert {len(np.unique(kernel[:, filter])) for filter in range(12)} <= {3, 4}
    assert values(channels.get_layer("dense")) == 4


def test_a_copied_summation_of_gradients_is_chosen_and_mistakes_are_told(base):
    with pytest.raises(ValueError, match="`number_of_clusters` must be >= 2"):
        cluster_weights(base, 1)
    with pytest.raises(TypeError, match="`cluster_centroids_init` must be a Centroid"):
        cluster_weights(base, 4, "linear")
    with pytest.raises(TypeError, match="`cluster_weights` has no argument 'clusters'"):
        cluster_weights(base, 4, clusters=3)
    with pytest.raises(ValueError, match="already"):
        cluster_weights(cluster_weights(base, 4), 4)
