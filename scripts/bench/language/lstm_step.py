"""Words a second in the training of the LSTM language models, beside Keras's own loop and loss.

    python -m scripts.bench.language.lstm_step
    python -m scripts.bench.language.lstm_step --units 200 400 --rounds 20 --threads 2

Random words, the paper's small recipe, XLA; rounds of the two sides are interleaved. "Keras" is the
same model with the loop of `keras.layers.LSTM` over the steps and Keras's cross-entropy. Writes
JSON with the medians, and the largest difference of weights after the same steps.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from models.language.lstm import StreamLSTM, lstm_language_model
from models.language.training import WordCrossEntropy, zaremba_optimizer
from scripts.lab import measuring
from scripts.lab.folders import RESULTS
from tfprune.support.files import replacing

OUT = RESULTS / "bench_lstm_step.json"
BATCH, STEPS, VOCABULARY = 20, 20, 10_000
COMPARED = 3  # steps after which the weights of both are compared


class _Loop(StreamLSTM):
    """The loop of Keras, as its layer has it."""

    inner_loop = layers.LSTM.inner_loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[200], help="default: 200")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=OUT, help="default: scripts/results/...")
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    content = {
        "command": "python -m scripts.bench.language.lstm_step --units "
        f"{' '.join(map(str, args.units))} --rounds {args.rounds} --threads {args.threads}",
        "machine": measuring.machine(),
        "threads": args.threads,
        "versions": measuring.versions(),
        "widths": {str(units): compared(units, args.rounds) for units in args.units},
    }
    with replacing(args.out) as new:
        Path(new).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content["widths"], indent=1))


def compared(units: int, rounds: int) -> dict[str, Any]:
    """Return medians of both sides, their ratio and the difference of the trained weights."""
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    sides = {"ours": (StreamLSTM, WordCrossEntropy()), "keras": (_Loop, keras_loss)}
    steps, models = {}, {name: built(units, lstm) for name, (lstm, _) in sides.items()}
    models["keras"].set_weights(models["ours"].get_weights())
    for name, (_, loss) in sides.items():
        models[name].compile(zaremba_optimizer(1000), loss, jit_compile=True)
        steps[name] = step_of(models[name])
        for _ in range(COMPARED):
            steps[name]()
    pairs = zip(*(model.trainable_variables for model in models.values()), strict=True)
    difference = max(float(np.abs(one.numpy() - other.numpy()).max()) for one, other in pairs)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            wall, processor = time.perf_counter(), time.process_time()
            step()
            spent[name].append((time.perf_counter() - wall, time.process_time() - processor))
    wall, processor = (
        {name: statistics.median(found[kind] for found in own) for name, own in spent.items()}
        for kind in (0, 1)
    )
    return {
        "ms_a_step": {name: round(1e3 * value, 2) for name, value in wall.items()},
        "cpu_ms_a_step": {name: round(1e3 * value, 2) for name, value in processor.items()},
        "words_a_cpu_second": {n: round(BATCH * STEPS / v) for n, v in processor.items()},
        "ratio": round(wall["keras"] / wall["ours"], 3),
        "cpu_ratio": round(processor["keras"] / processor["ours"], 3),
        "largest_difference_of_weights": difference,
    }


def built(units: int, lstm: type[StreamLSTM]) -> keras.Model:
    """Return the language model with another class of LSTMs."""

    def exchanged(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = lstm if isinstance(layer, StreamLSTM) else type(layer)
        return kind.from_config(layer.get_config())

    model = lstm_language_model(units, vocabulary=VOCABULARY, steps=STEPS, batch_size=BATCH)
    return keras.models.clone_model(model, clone_function=exchanged)


def step_of(model: keras.Model) -> Callable[[], None]:
    """Return one step of training on fixed random words."""
    random = np.random.default_rng(0)
    words = [random.integers(0, VOCABULARY, (BATCH, STEPS)).astype("int32") for _ in range(2)]
    train = model.make_train_function() or model.train_function
    batch = [tuple(map(tf.constant, words))]

    def step() -> None:
        logs = train(iter(batch))
        float(tf.reduce_sum(logs["loss"]))

    return step


if __name__ == "__main__":
    main()
