"""The stacked LSTM language model of Zaremba, Sutskever & Vinyals, arXiv 1409.2329."""

import dataclasses

import keras
from keras import layers, ops

from models.language.stepwise import FLOAT32, recurrence


@dataclasses.dataclass(frozen=True)
class LanguageModelPreset:
    """A model of the paper and how it is trained there (its section 4.1 and the authors' code).

    Attributes:
        units: of each of the two layers, and of the embedding.
        parameters: of the model with 10,000 words, as `lstm_language_model` counts them.
        steps: words that the gradient is propagated through.
        dropout: fraction of the non-recurrent connections that is dropped.
        init_scale: weights begin uniform in [-init_scale, init_scale].
        epochs: passes over the training text.
        constant_epochs: passes at learning rate 1.
        decay: the learning rate is divided by it at each later pass.
        clip: largest global norm of the gradient of a loss that is summed over the steps.
        batch_size: streams that the text is cut into.
    """

    units: int
    parameters: int
    steps: int
    dropout: float
    init_scale: float
    epochs: int
    constant_epochs: int
    decay: float
    clip: float
    batch_size: int = 20


PRESETS = {
    "small": LanguageModelPreset(200, 4_651_600, 20, 0.0, 0.1, 13, 4, 2.0, 5.0),
    "medium": LanguageModelPreset(650, 19_775_200, 35, 0.5, 0.05, 39, 6, 1.2, 5.0),
    "large": LanguageModelPreset(1500, 66_022_000, 35, 0.65, 0.04, 55, 14, 1.15, 10.0),
}


@keras.saving.register_keras_serializable("models")
class StreamLSTM(layers.LSTM):
    """A stateful LSTM whose states are weights that are not trained.

    Keras does not track the states that it makes itself: `fit` on JAX would begin every batch with
    the same ones, and no checkpoint would have them. Without masks, dropout of its own and other
    activations than Keras's, `models.language.stepwise` runs it, with the class's `products`.

    Example:
        >>> layer = StreamLSTM(3, stateful=True)
        >>> layer.build((2, 5, 4))
        >>> [state.name for state in layer.non_trainable_weights]
        ['hidden_state', 'cell_state']
    """

    computes_as = layers.LSTM  # what changes is where states are kept, and how fast it is
    products = FLOAT32

    def build(self, sequences_shape, initial_state_shape=None):
        if self.stateful and not self.built:
            self.states = [
                self.add_weight(
                    shape=(sequences_shape[0], self.units),
                    initializer="zeros",
                    trainable=False,
                    name=name,
                )
                for name in ("hidden_state", "cell_state")
            ]
        super().build(sequences_shape, initial_state_shape)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        cell = self.cell
        plain = {"tanh": cell.activation, "sigmoid": cell.recurrent_activation}
        if (
            mask is not None
            or any(keras.activations.get(name) is not own for name, own in plain.items())
            or not cell.use_bias
            or cell.dropout
            or cell.recurrent_dropout
            or self.go_backwards
        ):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        z = self.projected(ops.transpose(sequences, (1, 0, 2))) + cell.bias
        # Copies: the gradient is taken when states have moved on, and TensorFlow wants no variable.
        w, h, c = map(ops.copy, (cell.recurrent_kernel, *initial_state))
        found = recurrence(z, w, h, c, self.products)
        last = [found[0, -1], found[1, -1]]
        return last[0], ops.transpose(found[0], (1, 0, 2)), last

    def projected(self, sequences):
        """Return the product of the inputs of every step, (T, B, n), with the kernel."""
        return ops.matmul(sequences, self.cell.kernel)


def lstm_language_model(
    units: int = 200,
    *,
    depth: int = 2,
    vocabulary: int = 10_000,
    steps: int = 20,
    batch_size: int = 20,
    dropout: float = 0.0,
    tied: bool = False,
    stateful: bool = True,
    init_scale: float = 0.1,
) -> keras.Model:
    """A language model: embedding, stacked LSTMs, and the logits of the next word.

    With u units, depth d and v words the trainable parameters number

        u v + d (8 u^2 + 4 u) + (u + 1) v,    or    u v + d (8 u^2 + 4 u)    where tied:

    4,651,600 / 19,775,200 / 66,022,000 for the paper's small (u = 200), medium (650) and large
    (1500) model with d = 2 and v = 10,000. A stateful model has 2 d u batch_size values of LSTM
    state besides, which are not trained.

    Args:
        units: u, of every LSTM and of the embedding, at least 1.
        depth: d, number of LSTMs, at least 1.
        vocabulary: v, number of words, at least 2.
        steps: words in a sequence, at least 1; longer ones are not taken.
        batch_size: sequences in a batch, at least 1. Only a stateful model is bound to it.
        dropout: fraction in [0, 1) that is dropped of the non-recurrent connections: between
            embedding and first LSTM, between LSTMs, and before the logits, each value on its own.
        tied: let the logits share the weights of the embedding (Press & Wolf, arXiv 1608.05859;
            Inan et al., arXiv 1611.01462); they have no bias then.
        stateful: keep the LSTM states from one batch to the next, for text in contiguous streams
            (`models.data.text.streams`). Train with `models.language.training.ResetStates`.
        init_scale: all weights, biases too, begin uniform in [-init_scale, init_scale]; > 0.

    Returns:
        An uncompiled functional model, integer words (batch, steps) -> logits (batch, steps, v).

    Raises:
        ValueError: if an argument is out of its range.

    Source: Zaremba et al., "Recurrent Neural Network Regularization", arXiv 1409.2329.

    Example:
        >>> model = lstm_language_model(8, vocabulary=50, steps=5, batch_size=2)
        >>> model.output_shape
        (2, 5, 50)
    """
    least = {"units": 1, "depth": 1, "vocabulary": 2, "steps": 1, "batch_size": 1}
    values = (units, depth, vocabulary, steps, batch_size)
    for (name, minimum), value in zip(least.items(), values):
        if value < minimum:
            raise ValueError(f"`{name}` must be at least {minimum}. Received: {name}={value}")
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1). Received: dropout={dropout}")
    if not init_scale > 0:
        raise ValueError(f"`init_scale` must be > 0. Received: init_scale={init_scale}")

    def uniform() -> keras.initializers.Initializer:
        # One object for each weight: a shared one would draw the same values again.
        return keras.initializers.RandomUniform(-init_scale, init_scale)

    def dropped(x: keras.KerasTensor, position: int) -> keras.KerasTensor:
        return layers.Dropout(dropout, name=f"dropout_{position}")(x) if dropout else x

    words = keras.Input(
        batch_shape=(batch_size if stateful else None, steps), dtype="int32", name="words"
    )
    embed = layers.ReversibleEmbedding if tied else layers.Embedding
    embedding = embed(vocabulary, units, embeddings_initializer=uniform(), name="embedding")
    x = dropped(embedding(words), 0)
    for position in range(1, depth + 1):
        lstm = (StreamLSTM if stateful else layers.LSTM)(
            units,
            return_sequences=True,
            stateful=stateful,
            unit_forget_bias=False,
            kernel_initializer=uniform(),
            recurrent_initializer=uniform(),
            bias_initializer=uniform(),
            name=f"lstm_{position}",
        )
        x = dropped(lstm(x), position)
    if tied:
        logits = embedding(x, reverse=True)
    else:
        logits = layers.Dense(
            vocabulary, kernel_initializer=uniform(), bias_initializer=uniform(), name="logits"
        )(x)
    return keras.Model(words, logits, name="lstm_language_model")


def stateless(
    model: keras.Model, *, steps: int | None = None, batch_size: int | None = 1
) -> keras.Model:
    """Return a copy of a language model that begins every sequence with LSTM states of zero.

    Such a copy depends on its input alone, as an exported model has to, and has no states among
    its weights. The weights are copied.

    Args:
        model: of `lstm_language_model`, trained or not; a pruned one has to be stripped before.
        steps: words in a sequence, at least 1; None is as many as in `model`.
        batch_size: sequences in a batch, at least 1; None leaves it free.

    Returns:
        The copy, uncompiled: integer words (batch_size, steps) -> logits.

    Raises:
        ValueError: if the model is no plain language model, or an argument is out of its range.

    Example:
        >>> model = lstm_language_model(8, vocabulary=50, steps=5, batch_size=2)
        >>> stateless(model, steps=1).output_shape
        (1, 1, 50)
    """
    steps = model.input_shape[1] if steps is None else steps
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}")
    wrapped = [layer.name for layer in model.layers if isinstance(layer, layers.Wrapper)]
    if wrapped:
        raise ValueError(
            "`model` must be a plain language model; strip a pruned one first. Received: wrapped "
            f"layers {wrapped}"
        )
    words = keras.Input(batch_shape=(batch_size, steps), dtype="int32", name="words")
    copy = keras.models.clone_model(model, input_tensors=words, clone_function=_without_state)
    for source, target in zip(model.layers, copy.layers):
        states = {id(state) for state in getattr(source, "states", None) or ()}
        target.set_weights([w.numpy() for w in source.weights if id(w) not in states])
    return copy


def _without_state(layer: layers.Layer) -> layers.Layer:
    if isinstance(layer, StreamLSTM):
        return layers.LSTM.from_config({**layer.get_config(), "stateful": False})
    return type(layer).from_config(layer.get_config())
