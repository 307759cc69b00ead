"""Attention as LiteRT computes it: projections, scores, softmax and mixture, a range after each.

Where timesteps are masked, what the mask adds to the scores would take the whole range; so there
the sum and the softmax stay in float32, between two operations that the converter adds.
"""

from keras import layers, ops

from tfprune.keras_graph.private_keras import (
    attention_dropout,
    attention_mask_of,
    attention_projections,
)
from tfprune.support.tensors import Tensor
from tfprune.wrapping.ranges.activation_range import UNIT, rounded_to
from tfprune.wrapping.ranges.inside import Inside, Ranged

_MASKED = -1e9


def _attention(
    layer: layers.MultiHeadAttention,
    ranged: Ranged,
    query: Tensor,
    value: Tensor,
    key: Tensor | None = None,
    *,
    attention_mask: Tensor | None = None,
    return_attention_scores: bool = False,
    training: bool | None = None,
    use_causal_mask: bool = False,
    **masks: Tensor | None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Return the mixture for each query; queries are (batch, steps, features)."""
    key = value if key is None else key
    options = {"attention_mask": attention_mask, "use_causal_mask": use_causal_mask}
    mask = attention_mask_of(layer, query, value, **options, **masks)
    of_query, of_key, of_value, of_output = attention_projections(layer)
    queries = ranged("query", of_query(query))
    keys, values = ranged("key", of_key(key)), ranged("value", of_value(value))
    queries = ranged("scaled", queries * (1.0 / float(layer.key_dim) ** 0.5))
    scores = ranged("scores", ops.einsum("bqhd,bkhd->bhqk", queries, keys))
    if mask is not None:
        kept = ops.cast(ops.expand_dims(mask, 1), scores.dtype)
        scores = scores + (1.0 - kept) * _MASKED
    shares = rounded_to(ops.softmax(scores, axis=-1), UNIT)
    dropped = attention_dropout(layer, shares, training=training)
    mixed = ranged("mixed", ops.einsum("bhqk,bkhd->bqhd", dropped, values))
    outputs = of_output(mixed)
    return (outputs, shares) if return_attention_scores else outputs


ATTENTION = Inside(("query", "key", "value", "scaled", "scores", "mixed"), _attention)
