"""cluster_weights, strip_clustering, cluster_scope and what they are called with."""

import contextlib
import dataclasses
import enum
from typing import Any

import keras

from tfprune.compat.pruning import require_known_keywords
from tfprune.compression.clustering.clustering import How, with_shared_values
from tfprune.compression.clustering.levels import Start
from tfprune.compression.clustering.sharing import Gradient, SharedValues, require_levels
from tfprune.compression.finished_models import finished
from tfprune.keras_graph.copying import also_known
from tfprune.keras_graph.rebuilding import outer_layers
from tfprune.layer_classes.prunable import (
    PrunableLayer,
    explain_skip,
    may_be_prunable,
    prunable_weights,
)
from tfprune.pruning.strip import strip_pruning
from tfprune.support.by_identity import ByIdentity
from tfprune.support.configurable import Configurable
from tfprune.support.validation import require_flag, require_layer
from tfprune.wrapping.pruned_layer import PrunedLayer


class CentroidInitialization(str, enum.Enum):
    """Which levels k-means starts from: even steps, random ones, even shares, or k-means++.

    Example:
        >>> CentroidInitialization.LINEAR.value
        'CentroidInitialization.LINEAR'
    """

    LINEAR = "CentroidInitialization.LINEAR"
    RANDOM = "CentroidInitialization.RANDOM"
    DENSITY_BASED = "CentroidInitialization.DENSITY_BASED"
    KMEANS_PLUS_PLUS = "CentroidInitialization.KMEANS_PLUS_PLUS"


class GradientAggregation(str, enum.Enum):
    """What a level gets of the gradients of its weights: their sum or their mean."""

    SUM = "GradientAggregation.SUM"
    AVG = "GradientAggregation.AVG"


@keras.saving.register_keras_serializable("tfprune")
@dataclasses.dataclass(frozen=True)
class AllKept(Configurable):
    """A schedule of no zeros and no mask updates.

    Example:
        >>> AllKept()(3), AllKept().next_update(-1)
        (0.0, None)
    """

    def __call__(self, step: int) -> float:
        return 0.0

    def next_update(self, step: int) -> None:
        """Return None: there is none."""


_STARTS: dict[CentroidInitialization, Start] = {
    CentroidInitialization.LINEAR: "linear",
    CentroidInitialization.RANDOM: "random",
    CentroidInitialization.DENSITY_BASED: "density",
    CentroidInitialization.KMEANS_PLUS_PLUS: "kmeans++",
}
_GRADIENTS: dict[GradientAggregation, Gradient] = {
    GradientAggregation.SUM: "sum",
    GradientAggregation.AVG: "mean",
}


class ClusterableLayer(PrunableLayer):
    """Mixin for a layer that names its own weights to cluster.

    Example:
        >>> class Own(keras.layers.Dense, ClusterableLayer):
        ...     def get_clusterable_weights(self):
        ...         return [("kernel", self.kernel)]
        >>> own = Own(2)
        >>> own.build((None, 3))
        >>> [weight.name for weight in own.get_prunable_weights()]
        ['kernel']
    """

    def get_clusterable_weights(self) -> list[tuple[str, keras.Variable]]:
        """Return (name, variable) of each weight to cluster."""
        raise NotImplementedError("`get_clusterable_weights` must be implemented.")

    def get_prunable_weights(self) -> list[keras.Variable]:
        """Return the same without the names; none before the layer is built."""
        built = isinstance(self, keras.layers.Layer) and self.built
        return [weight for _, weight in self.get_clusterable_weights()] if built else []


def cluster_weights(
    to_cluster: keras.layers.Layer | list[keras.layers.Layer],
    number_of_clusters: int,
    cluster_centroids_init: CentroidInitialization = CentroidInitialization.KMEANS_PLUS_PLUS,
    preserve_sparsity: bool = False,
    cluster_per_channel: bool = False,
    cluster_gradient_aggregation: GradientAggregation = GradientAggregation.SUM,
    **kwargs: Any,
) -> keras.layers.Layer | list[keras.layers.Layer]:
    """Wrap a model, a layer or a list of layers so that each kernel has few different values.

    Args:
        to_cluster: a built `keras.Model`, a layer (best built: the values that it has, or gets when
            it is built, are clustered), or a list of layers.
        number_of_clusters: values of each kernel, integer in [2, 256].
        cluster_centroids_init: what k-means starts from.
        preserve_sparsity: whether zeros stay zeros; zero is then one of the values.
        cluster_per_channel: whether each output channel of a Conv2D has values of its own.
        cluster_gradient_aggregation: what a value gets of the gradients of its weights.
        **kwargs: for a layer only: `name`.

    Returns:
        For a model, a copy (see `tfprune.cluster`, which folds batch normalizations first; this
        does not). For a layer, a `tfprune.PrunedLayer` around that same layer, or the layer itself
        if it has no kernel. For a list, a list of these.

    Raises:
        TypeError: if an argument is of the wrong kind or a keyword is unknown.
        ValueError: if a value is out of range, a layer is of a class whose weights are not known,
            or the model cannot be clustered.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 50))
        >>> clustered = cluster_weights(layer, 4, CentroidInitialization.LINEAR)
        >>> len(set(strip_clustering(keras.Sequential([keras.Input((50,)), clustered]))
        ...         .layers[0].kernel.numpy().ravel().tolist()))
        4
    """
    require_levels("number_of_clusters", number_of_clusters)
    require_flag("preserve_sparsity", preserve_sparsity)
    require_flag("cluster_per_channel", cluster_per_channel)
    start = _STARTS[_known("cluster_centroids_init", cluster_centroids_init, _STARTS)]
    gradient = _GRADIENTS[
        _known("cluster_gradient_aggregation", cluster_gradient_aggregation, _GRADIENTS)
    ]
    how = How(start, preserve_sparsity, gradient)
    is_layer = isinstance(to_cluster, keras.layers.Layer)
    if is_layer and not isinstance(to_cluster, keras.Model):
        require_known_keywords("cluster_weights", kwargs, ("name",))
        return _cluster_layer(to_cluster, number_of_clusters, cluster_per_channel, how, **kwargs)
    require_known_keywords("cluster_weights", kwargs, ())
    if isinstance(to_cluster, list):
        each = (require_layer("to_cluster", layer) for layer in to_cluster)
        return [
            _cluster_layer(layer, number_of_clusters, cluster_per_channel, how) for layer in each
        ]
    if isinstance(to_cluster, keras.Model):
        plain = finished(to_cluster, "its weights are clustered")
        convolutions = {
            layer for layer in outer_layers(plain) if isinstance(layer, keras.layers.Conv2D)
        }
        levels = ByIdentity((weight, number_of_clusters) for weight in prunable_weights(plain))
        if not levels:
            raise ValueError(f"Model '{plain.name}' has no weight that can be clustered.")
        return with_shared_values(plain, levels, convolutions if cluster_per_channel else (), how)
    raise TypeError(
        "`to_cluster` must be a keras.Model, a keras.layers.Layer or a list of layers (of Keras "
        f"3). Received: to_cluster={to_cluster!r} (of type {type(to_cluster).__name__})."
    )


def strip_clustering(model: keras.Model) -> keras.Model:
    """Return a plain copy of a clustered model, with its few values in each kernel.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        >>> type(strip_clustering(cluster_weights(model, 4)).layers[0]).__name__
        'Dense'
    """
    return strip_pruning(model)


def cluster_scope() -> contextlib.AbstractContextManager[object]:
    """Return a context manager in which clustered models can be loaded; they can without it too.

    Example:
        >>> with cluster_scope():
        ...     loaded = keras.saving.get_registered_object("PrunedLayer")
        >>> loaded is PrunedLayer
        True
    """
    return also_known({"PrunedLayer": PrunedLayer})


def _cluster_layer(
    layer: keras.layers.Layer, count: int, per_channel: bool, how: How, name: str | None = None
) -> keras.layers.Layer:
    if isinstance(layer, keras.layers.InputLayer | PrunedLayer):
        return layer
    if not may_be_prunable(layer):
        if type(layer).__module__.startswith("keras."):
            return layer
        raise ValueError(
            "`to_cluster` must have weights that can be clustered. Received: layer "
            f"'{layer.name}'; {explain_skip(layer)}."
        )
    by_channel = per_channel and isinstance(layer, keras.layers.Conv2D)
    quantizer = SharedValues(count, by_channel, how.gradient, how.start, how.preserve_zeros)
    return PrunedLayer(layer, AllKept(), quantizer=quantizer, name=name)


def _known(name: str, value: Any, members: dict[Any, Any]) -> Any:
    if not isinstance(value, type(next(iter(members)))):
        kind = type(next(iter(members))).__name__
        raise TypeError(f"`{name}` must be a {kind}. Received: {name}={value!r}.")
    return value
