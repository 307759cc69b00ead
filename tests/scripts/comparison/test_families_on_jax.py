"""The families of the comparison train, prune, resume and measure on JAX as on TensorFlow."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.jax_session import run_on_jax

ROOT = Path(__file__).resolve().parents[3]

SET_UP = """
    import dataclasses, sys
    sys.path.insert(0, "ROOT")
    import keras, numpy as np
    from pathlib import Path
    from scripts.comparison import training
    assert keras.config.backend() == "jax"
    training.leave_gpu_to_backend()  # as the commands do before anything else
    folder = Path("FOLDER")

    def trained_twice(module, **options):
        job = module.jobs("tiny", 0)[-1]
        first = module.train(job, "tiny", 0, folder, **options)
        assert first["nonzeros"] < 0.6 * first["parameters"], first

        class NoStep(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                raise AssertionError("trained again")

        again = module.train(job, "tiny", 0, folder, callbacks=[NoStep()], **options)
        assert all(again[n] == first[n] for n in first if "seconds" not in n), (first, again)
        return first
"""

CNN = """
    from scripts.comparison.images import classifiers, cnn_presets
    from models import Dataset
    cnn_presets.PRESETS["tiny"] = cnn_presets.Preset(
        "fashion_mnist", ("lenet-300-100",), (1e4,), (0.5,), epochs=2, batch_size=8, updates=2)
    random = np.random.default_rng(0)
    x, y = random.random((24, 28, 28, 1)).astype("float32"), random.integers(0, 4, 24)
    data = Dataset("fashion_mnist", 4, x[:16], y[:16], x[16:], y[16:])
    found = trained_twice(classifiers, load=lambda name, where: data)
    assert 0 <= found["accuracy"] <= 1
"""

LSTM = """
    from models.data import text
    from scripts.comparison.language import language_models, lstm_presets
    words = [f"w{number:02}" for number in range(11)]
    random, counts = np.random.default_rng(0), {}
    for split, lines in (("train", 40), ("valid", 5), ("test", 6)):
        rows = [" ".join(random.choice(words, 11)) for _ in range(lines)]
        (folder / f"ptb.{split}.txt").write_text("\\n".join(rows) + "\\n")
        counts[split] = 12 * lines
    text.CORPORA["ptb"] = dataclasses.replace(text.CORPORA["ptb"], words=counts, vocabulary=12)
    recipe = language_models.Recipe(units=4, parts=2, steps=5, batch_size=4, dropout=0.3)
    lstm_presets.PRESETS["tiny"] = language_models.Preset((recipe,), (0.75,), updates=3)
    found = trained_twice(language_models, data_dir=folder)
    assert 1 < found["perplexity"] < 20
"""

MIXED = LSTM + """
    options = {"data_dir": folder, "mixed": True}
    job = language_models.jobs("tiny", 0)[-1]
    try:
        language_models.train(job, "tiny", 0, folder, **options)
        raise AssertionError("a checkpoint of float32 was taken up")
    except ValueError as error:
        assert "mixed None there, True here" in str(error), error
    (folder / "mixed").mkdir()
    folder, known = folder / "mixed", folder
    mixed = trained_twice(language_models, **{**options, "data_dir": known})
    assert mixed["nonzeros"] == found["nonzeros"]
    assert abs(mixed["perplexity"] - found["perplexity"]) < 0.02 * found["perplexity"]
    assert mixed["perplexity"] != found["perplexity"]
    exported = language_models.PROTOCOL.exported(job, "tiny", folder, data_dir=known, mixed=True)
    kinds = {type(layer) for layer in exported.layers}
    assert keras.layers.LSTM in kinds and keras.layers.Dense in kinds, kinds
"""

NMT = """
    from scripts.comparison.translation import nmt_presets, translation_models
    for split in ("train", "val", "test2016"):
        for language, words in (("en", "one two three"), ("de", "eins zwei drei")):
            lines = [" ".join(np.roll(words.split(), n)) for n in range(12)]
            (folder / f"{language}.{split}.txt").write_text("\\n".join(lines) + "\\n")
    nmt_presets.PRESETS["tiny"] = nmt_presets.Preset(
        units=(8,), sparsities=(0.5,), vocabulary=25, depth=1, epochs=2, batch_size=4,
        max_length=15, updates=2, beam=1, best=True)
    found = trained_twice(translation_models, data_dir=folder)
    assert 0 <= found["bleu"] <= 100 and found["loss"] < 2 * np.log(25)
"""


@pytest.mark.parametrize(
    "family", [CNN, LSTM, MIXED, NMT], ids=["cnn", "lstm", "lstm in mixed precision", "nmt"]
)
def test_a_pruned_model_is_trained_measured_and_taken_up_on_jax(family, tmp_path):
    code = SET_UP + family
    for name, path in (("ROOT", ROOT), ("FOLDER", tmp_path)):
        code = code.replace(name, str(path))
    run_on_jax(code)
    assert list(tmp_path.glob("*.npz")) and np.load(next(tmp_path.glob("*.npz"))).files
