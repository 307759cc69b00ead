"""Translation by stacked LSTMs with attention, in the manner of GNMT.

Encoder: embedding; a bidirectional LSTM; further LSTMs, residual from the third on. Decoder:
embedding; an LSTM, whose output asks the attention what to read of the source; further LSTMs, each
of which sees the context that was read, residual from the third on; a tanh layer over the last
output and the context; the softmax projection, as logits.

Deviations from the paper: the context goes to all decoder layers but the bottom one, which would
have to wait for the attention of the step before it; no step of training waits for another layer
then. In its place, decoder layer i starts in the final state of encoder layer i (of the backward
direction for the first). The tanh layer is Luong's; it lets a decoder of one layer use the context.
No coverage penalty in the search.

Sources: Wu et al., "Google's Neural Machine Translation System", arXiv 1609.08144; Luong et al.,
"Effective Approaches to Attention-based Neural Machine Translation", EMNLP 2015 (attention
"luong", score(q, k) = q' W k; tanh layer); Bahdanau et al., ICLR 2015 ("additive", the one of GNMT,
score(q, k) = v' tanh(W1 q + W2 k)).
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

PADDING, UNKNOWN, START, END = range(4)  # the first tokens of every vocabulary

ATTENTION = ("additive", "luong")

Parts = Mapping[str, Any]


def seq2seq(
    units: int,
    *,
    depth: int = 2,
    source_vocabulary: int = 32_000,
    target_vocabulary: int = 32_000,
    dropout: float = 0.0,
    attention: str = "additive",
    init_scale: float = 0.05,
    source_length: int | None = None,
    target_length: int | None = None,
) -> keras.Model:
    """The model as it is trained: source and preceding target tokens -> logits of the next ones.

    With u units, depth d >= 2 and vocabularies S and T, the parameters number

        (S + T) u                                       embeddings
        + 4 u (4 u + 2) + 4 u (3 u + 1) + (d - 2) 4 u (2 u + 1)     encoder
        + 4 u (2 u + 1) + (d - 1) 4 u (3 u + 1)                     decoder
        + 2 u^2 + u                                     attention ("luong": u^2)
        + (2 u + 1) u + (u + 1) T                       tanh layer and projection:

    208.8M for 1024 units, 4 layers and 36,548 sub-words, as in github.com/tensorflow/nmt, for
    which Zhu & Gupta (arXiv 1710.01878) give 211M.

    Args:
        units: u, width of the embeddings and of every LSTM (of each direction in the first).
        depth: number of layers d of the encoder, and of the decoder.
        source_vocabulary: number of source tokens S; token 0 is padding, at the end of a sentence.
        target_vocabulary: number of target tokens T.
        dropout: fraction of the inputs of every LSTM, and of the projection, that is dropped in
            training, in [0, 1).
        attention: "additive" or "luong", which is cheaper.
        init_scale: embeddings begin uniform in [-init_scale, init_scale]; > 0.
        source_length: number of tokens of every source sentence; None takes any.
        target_length: number of tokens of every target sentence; None takes any.

    Returns:
        An uncompiled functional model, [(batch, s), (batch, t)] integers -> (batch, t, T). Train
        it with `loss()`; `encoder` and `decoder_step` take it apart for the search.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> seq2seq(4, source_vocabulary=10, target_vocabulary=12).count_params()
        1068
    """
    _require(units, depth, source_vocabulary, target_vocabulary, source_length, target_length)
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}")
    if attention not in ATTENTION:
        raise ValueError(
            f"`attention` must be one of {', '.join(ATTENTION)}. Received: attention={attention!r}"
        )
    if not init_scale > 0:
        raise ValueError(f"`init_scale` must be > 0. Received: init_scale={init_scale}")
    parts = _parts(units, depth, source_vocabulary, target_vocabulary, attention, init_scale)
    source = keras.Input((source_length,), dtype="int32", name="source")
    target = keras.Input((target_length,), dtype="int32", name="target")
    memory, keys, states = _encode(parts, source, dropout)
    logits, _ = _decode(parts, target, memory, keys, None, states, dropout)
    return keras.Model([source, target], logits, name="nmt")


def loss() -> keras.losses.Loss:
    """Cross-entropy in nats, averaged over the target tokens that are not padding."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PADDING)


def encoder(model: keras.Model, *, source_length: int | None = None) -> keras.Model:
    """The part of a `seq2seq` that reads the source, with the same weights.

    Args:
        model: a `seq2seq`, or a stripped copy of one.
        source_length: number of tokens of every sentence; None is that of `model`.

    Returns:
        Model (batch, s) integers -> [memory (batch, s, e), keys (batch, s, u), h, c of each
        decoder layer at the start (batch, u)].

    Raises:
        ValueError: if `model` is no `seq2seq`.
    """
    parts = _parts_of(model)
    source = keras.Input((source_length or model.inputs[0].shape[1],), dtype="int32", name="source")
    memory, keys, states = _encode(parts, source)
    return keras.Model(source, [memory, keys, *states], name="nmt_encoder")


def decoder_step(model: keras.Model, *, source_length: int | None = None) -> keras.Model:
    """The part of a `seq2seq` that makes one target token, with the same weights.

    Args:
        model: a `seq2seq`, or a stripped copy of one.
        source_length: number of tokens of every source sentence; None is that of `model`.

    Returns:
        Model [token (batch, 1), source (batch, s), *what `encoder` gives] -> [logits (batch, T),
        h, c of each layer], the last token and states in, those of the next step out.

    Raises:
        ValueError: if `model` is no `seq2seq`.
    """
    parts = _parts_of(model)
    length = source_length or model.inputs[0].shape[1]
    token = keras.Input((1,), dtype="int32", name="token")
    source = keras.Input((length,), dtype="int32", name="source")
    units = parts["target_embedding"].output_dim
    width = units if "encoder_2" in parts else 2 * units
    memory = keras.Input((length, width), name="memory")
    keys = keras.Input((length, units), name="keys")
    depth = sum(name.startswith("decoder_") for name in parts)
    states = [
        keras.Input((units,), name=f"{kind}_{layer}")
        for layer in range(1, depth + 1)
        for kind in "hc"
    ]
    mask = ops.not_equal(source, PADDING)
    logits, after = _decode(parts, token, memory, keys, mask, states)
    inputs = [token, source, memory, keys, *states]
    return keras.Model(inputs, [logits[:, 0], *after], name="nmt_decoder_step")


def vocabularies(model: keras.Model) -> tuple[int, int]:
    """The numbers of source and target tokens that a `seq2seq` knows.

    Example:
        >>> vocabularies(seq2seq(2, source_vocabulary=10, target_vocabulary=12))
        (10, 12)
    """
    parts = _parts_of(model)
    return parts["source_embedding"].input_dim, parts["target_embedding"].input_dim


def require_vocabularies(model: keras.Model, source: int, target: int) -> None:
    """Raise a ValueError unless the model was made for vocabularies of these sizes."""
    for side, found, expected in zip(("source", "target"), (source, target), vocabularies(model)):
        if found != expected:
            raise ValueError(
                f"the {side} vocabulary must be the one that the model was trained with, of "
                f"{expected} tokens. Received: {found} tokens"
            )


def _parts(
    units: int, depth: int, source: int, target: int, attention: str, init_scale: float
) -> Parts:
    """Every layer that has weights, and the attention, by name."""

    def lstm(name: str) -> keras.layers.Layer:
        return layers.LSTM(units, return_sequences=True, return_state=True, name=name)

    def embedding(tokens: int, name: str, **options: Any) -> keras.layers.Layer:
        begin = keras.initializers.RandomUniform(-init_scale, init_scale)
        return layers.Embedding(tokens, units, embeddings_initializer=begin, name=name, **options)

    parts = [
        # Padding behind the target needs no mask: nothing that counts comes after it.
        embedding(source, "source_embedding", mask_zero=True),
        embedding(target, "target_embedding"),
        layers.Bidirectional(lstm("lstm"), name="encoder_1"),
        *(lstm(f"encoder_{layer}") for layer in range(2, depth + 1)),
        *(lstm(f"decoder_{layer}") for layer in range(1, depth + 1)),
        layers.Dense(units, use_bias=False, name="attention_memory"),
    ]
    if attention == "additive":
        parts.append(layers.Dense(units, use_bias=False, name="attention_query"))
        parts.append(layers.AdditiveAttention(name="attention"))
    else:
        parts.append(layers.Attention(name="attention"))
    parts.append(layers.Dense(units, activation="tanh", name="attention_output"))
    parts.append(layers.Dense(target, name="logits"))
    return {part.name: part for part in parts}


def _parts_of(model: keras.Model) -> Parts:
    parts = {layer.name: layer for layer in model.layers}
    embeddings = (parts.get(f"{side}_embedding") for side in ("source", "target"))
    if not all(isinstance(layer, layers.Embedding) for layer in embeddings):
        raise ValueError(
            "`model` must be a plain seq2seq model (strip a pruned one first). "
            f"Received: model named {model.name!r}"
        )
    return parts


def _encode(parts: Parts, source: Any, dropout: float = 0.0) -> tuple[Any, Any, list[Any]]:
    """Memory, keys, and the states in which the decoder starts."""
    x = parts["source_embedding"](source)
    x, _, _, *states = parts["encoder_1"](_dropped(x, dropout))
    layer = 2
    while f"encoder_{layer}" in parts:
        y, h, c = parts[f"encoder_{layer}"](_dropped(x, dropout))
        x = layers.Add()([x, y]) if layer > 2 else y
        states += [h, c]
        layer += 1
    return x, parts["attention_memory"](x), states


def _decode(
    parts: Parts,
    target: Any,
    memory: Any,
    keys: Any,
    mask: Any,
    states: list[Any],
    dropout: float = 0.0,
) -> tuple[Any, list[Any]]:
    """Logits at each target position, and the states after the last.

    `mask` says which source positions are no padding; None takes the one that Keras sends along
    with the memory.
    """
    x = _dropped(parts["target_embedding"](target), dropout)
    x, *after = parts["decoder_1"](x, initial_state=states[:2])
    query = parts["attention_query"](x) if "attention_query" in parts else x
    masks = {} if mask is None else {"mask": [None, mask]}
    context = parts["attention"]([query, memory, keys], **masks)
    for layer in range(2, len(states) // 2 + 1):
        y = _dropped(layers.Concatenate()([x, context]), dropout)
        start = states[2 * layer - 2 : 2 * layer]
        y, *ends = parts[f"decoder_{layer}"](y, initial_state=start)
        x = layers.Add()([x, y]) if layer > 2 else y
        after += ends
    x = parts["attention_output"](layers.Concatenate()([x, context]))
    return parts["logits"](_dropped(x, dropout)), after


def _dropped(x: Any, dropout: float) -> Any:
    return layers.Dropout(dropout)(x) if dropout else x


def _require(units, depth, source, target, source_length, target_length) -> None:
    for name, value, least in (
        ("units", units, 1),
        ("depth", depth, 1),
        ("source_vocabulary", source, END + 2),
        ("target_vocabulary", target, END + 2),
        ("source_length", source_length, 1),
        ("target_length", target_length, 1),
    ):
        if value is not None and value < least:
            raise ValueError(f"`{name}` must be at least {least}. Received: {name}={value}")
