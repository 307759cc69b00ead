"""The comparison's commands on bad data: one line, exit status 2, and no results left behind."""

import pytest

from models.data import text, translation
from scripts.comparison import command as comparison
from scripts.studies import ablate_schedule


def nothing(folder):
    return "no dataset_info.json in"


def broken_off_text(folder):
    (folder / "ptb.train.txt").write_text("the cat sat\nthe d")
    return "ptb.train.txt is not the standard train text of 'ptb': it has 6 words"


def garbled_text(folder):
    for split in ("train", "val", "test2016"):
        (folder / f"en.{split}.txt").write_bytes(b"one\ntwo\n")
        (folder / f"de.{split}.txt").write_bytes(b"eins\nzw\xff\xfei\n")
    return "de.test2016.txt is damaged: line 2 is not UTF-8"


CASES = {
    "cnn": (comparison, ["cnn", "--quick", "--seeds", "1"], nothing),
    "lstm": (comparison, ["lstm", "--quick", "--seeds", "1"], broken_off_text),
    "nmt": (comparison, ["nmt", "--quick", "--seeds", "1"], garbled_text),
    "ablate_schedule": (ablate_schedule, ["--seeds", "0"], nothing),
}


def arguments_for(options, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "out").mkdir()
    places = {"data-dir": "data", "out": "out/results.json", "checkpoints": "checkpoints"}
    return options + [f"--{name}={tmp_path / place}" for name, place in places.items()]


@pytest.mark.parametrize("case", CASES)
def test_bad_data_is_one_line_and_leaves_no_results(case, tmp_path, capsys):
    program, options, spoil = CASES[case]
    arguments = arguments_for(options, tmp_path)
    message = spoil(tmp_path / "data")
    assert program.main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and said.startswith(f"{program.PROGRAM}: error: ") and message in said
    assert not list((tmp_path / "out").iterdir())
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".npz"]


@pytest.mark.parametrize(
    ("family", "module", "name"), [("lstm", text, "load"), ("nmt", translation, "load")]
)
def test_ctrl_c_while_data_is_read_leaves_no_results(
    family, module, name, tmp_path, capsys, monkeypatch
):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, stop)
    arguments = arguments_for([family, "--quick", "--seeds", "1"], tmp_path)
    assert comparison.main(arguments) == 130
    assert "stopped; started again, it goes on from here" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
