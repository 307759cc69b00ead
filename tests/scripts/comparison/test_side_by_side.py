"""side_by_side: models trained together on JAX are those that are trained one by one."""

from pathlib import Path

from scripts.comparison.language import side_by_side
from tests.support.helpers import run_python
from tests.support.jax_session import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[3]

TOGETHER = """
    import dataclasses, io, json, sys
    sys.path.insert(0, "ROOT")

    class NoTensorFlow:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "tensorflow":
                raise ImportError("the accelerator's machine has none")

    sys.meta_path.insert(0, missing := NoTensorFlow())
    import numpy as np
    from pathlib import Path
    from models.data import text
    from scripts.comparison.language import language_models, lstm_presets, side_by_side
    from scripts.lab import sparse_weights
    folder = Path("FOLDER")
    words = [f"w{number:02}" for number in range(11)]
    random, counts = np.random.default_rng(0), {}
    for split, lines in (("train", 40), ("valid", 5), ("test", 6)):
        rows = [" ".join(random.choice(words, 11)) for _ in range(lines)]
        (folder / f"ptb.{split}.txt").write_text("\\n".join(rows) + "\\n")
        counts[split] = 12 * lines
    text.CORPORA["ptb"] = dataclasses.replace(text.CORPORA["ptb"], words=counts, vocabulary=12)
    recipe = language_models.Recipe(
        units=4, passes=3, parts=1, constant_parts=1, steps=5, batch_size=4, init_scale=0.5)
    lstm_presets.PRESETS["tiny"] = language_models.Preset(
        (recipe,), (0.5, 0.75), updates=5, begin=0.1, end=0.6)
    arguments = ["tiny", "4", "--seeds", "2", "--data-dir", str(folder)]
    arguments += ["--out", str(folder / "o.json"), "--keep", str(folder / "keep")]

    def refused(*changes):
        told, sys.stderr = sys.stderr, io.StringIO()
        assert side_by_side.main([*arguments, *changes]) == 2, changes
        told, sys.stderr = sys.stderr.getvalue(), told
        assert told.count("\\n") == 1 and not (folder / "o.json").exists(), told
        return told

    (folder / "file").write_text("")
    assert "`--keep` must be a writable folder" in refused("--keep", str(folder / "file"))
    arguments[1] = "12"
    assert "`units` must be among 4 for tiny. Received: 12" in refused()
    arguments[1] = "4"
    kept, sparse_weights.save = sparse_weights.save, None  # fails, after the training
    try:
        side_by_side.main(arguments)
        raise AssertionError("weights were kept")
    except TypeError:
        assert len(json.loads((folder / "o.json").read_text())["records"]) == 6
    sparse_weights.save = kept
    (folder / "o.json").unlink()
    assert side_by_side.main(arguments) == 0
    content = json.loads((folder / "o.json").read_text())
    assert content["command"].endswith("side_by_side tiny 4 --seeds 2") and content["rows"]
    together = content["records"]
    assert side_by_side.main(arguments) == 0  # nothing is left to train
    assert json.loads((folder / "o.json").read_text())["records"] == together
    sys.meta_path.remove(missing)  # the family reads its text through TensorFlow
    jobs = [j for seed in (0, 1) for j in language_models.jobs("tiny", seed)]
    for number, (job, record) in enumerate(zip(jobs, together, strict=True)):
        assert record["method"] == job.method and record["options"] == job.options
        assert record["seed"] == job.seed
        if number % 2:  # every other one is of both seeds and of all sparsities
            continue
        alone = language_models.train(job, "tiny", job.seed, None, data_dir=folder)
        assert record["nonzeros"] == alone["nonzeros"] and record["words"] == alone["words"]
        for name in ("perplexity", "valid_perplexity"):
            assert abs(record[name] - alone[name]) < 2e-4 * alone[name], (job, name)
    model = language_models.build(recipe, 12)
    plain = language_models.stateless(model)
    folder = folder / "keep"
    sparse_weights.load(plain, folder / "lstm-tiny-dense-4-0-1.weights.npz")
    assert all(w.any() for w in plain.get_weights())
    sparse_weights.load(plain, folder / "lstm-tiny-pruned-4-0.75-0.weights.npz")
    zeros = sum(int((w == 0).sum()) for w in plain.get_weights())
    pruned = next(r for r in together if r["sparsity"] == 0.75)
    assert zeros == pruned["parameters"] - pruned["nonzeros"]
"""


def test_models_trained_together_are_those_trained_alone(tmp_path):
    code = TOGETHER.replace("ROOT", str(ROOT)).replace("FOLDER", str(tmp_path))
    run_python(code, **ENVIRONMENT)


def test_another_backend_is_refused_before_anything_is_read(tmp_path, capsys):
    out = tmp_path / "new" / "o.json"
    assert side_by_side.main(["none", "4", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "`KERAS_BACKEND` must be jax. Received: tensorflow" in error and error.count("\n") == 1
    assert not out.parent.exists()


def test_ctrl_c_does_not_promise_to_go_on(monkeypatch, capsys):
    def stop(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(side_by_side, "run", stop)
    assert side_by_side.main(["tiny", "4"]) == 130
    error = capsys.readouterr().err
    assert "goes on" not in error and "every width without records anew" in error
