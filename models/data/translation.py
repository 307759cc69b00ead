"""Parallel text: Multi30k and other text folders, WMT and TED talks through TFDS.

Text folders hold one file a language and split, `<lang>.<split>.txt`, one sentence a line, as
`tfds.TranslateFolder` reads them. `models.data.translation_batches` makes
batches of what is loaded.
"""

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.data import prepared
from models.data.text import read_text

_SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
_MULTI30K = "multi30k"
_TED = "ted_hrlr_translate"
_WMT = tuple(f"wmt{year}_translate" for year in range(13, 20))
_SOURCE = "https://github.com/multi30k/dataset, data/task1/raw"
_NAME = re.compile(r"(?P<language>\w+)\.(?P<split>\w+)\.txt")

Folder = str | os.PathLike[str]


def names() -> list[str]:
    """The names that `load` takes.

    Example:
        >>> names()[:3]
        ['multi30k', 'ted_hrlr_translate', 'wmt13_translate']
    """
    return [_MULTI30K, _TED, *_WMT]


def load(name: str, pair: str, split: str, data_dir: Folder | None = None) -> Any:
    """Sentences and their translations.

    Args:
        name: one of `names()`.
        pair: source and target language, such as "en-de"; TED talks also pair two training
            languages with a third, "az_tr-en".
        split: "train", "validation" or "test" through TFDS; Multi30k has "train", "val",
            "test2016", "test2017" and "testcoco2017".
        data_dir: folder with the text files, or with `multi30k/raw`, or with prepared TFDS data
            sets, or with a folder `tfds` of them. None: the folder named by TFDS_DATA_DIR, then
            `../shared/data` beside the checkout; then TFDS's own folder, downloading into it where
            needed.

    Returns:
        A `tf.data.Dataset` of (source, target) strings, in the order of the files.

    Raises:
        ValueError: for an unknown name, language pair or split, and for text that is missing or
            damaged.
    """
    if name not in names():
        raise ValueError(f"`name` must be one of {', '.join(names())}. Received: name={name!r}")
    if name == _MULTI30K:
        return folder(_multi30k_folder(pair, split, data_dir), pair, split)
    return _load_tfds(name, pair, split, data_dir)


def folder(root: Folder, pair: str, split: str) -> Any:
    """Sentences and their translations from a folder of text files.

    Args:
        root: holds `<lang>.<split>.txt` files, and nothing else.
        pair: source and target language, as in the names of the files.
        split: as in the names of the files.

    Returns:
        A `tf.data.Dataset` of (source, target) strings, in the order of the files.

    Raises:
        ValueError: if a file is missing or is not UTF-8, or two do not have the same number of
            lines; or for a language pair or a split that the folder has not.
    """
    import tensorflow_datasets as tfds

    root = Path(root).expanduser()
    lines = _count_lines(root)
    languages = sorted({language for counts in lines.values() for language in counts})
    source, target = _languages(pair, [f"{a}-{b}" for a in languages for b in languages if a != b])
    if split not in sorted(lines):
        raise ValueError(
            f"`split` must be one of {', '.join(sorted(lines))}, the files of {root}. "
            f"Received: split={split!r}"
        )
    for language in (source, target):
        if language not in lines[split]:
            raise ValueError(_missing(root / f"{language}.{split}.txt"))
    examples = tfds.TranslateFolder(root_dir=str(root)).as_dataset(split=split)
    return _ordered(examples, source, target)


@contextlib.contextmanager
def naming_damage(name: str, pair: str, data_dir: Folder | None = None) -> Iterator[None]:
    """Where a record of TFDS turns out to be damaged in the block, say which.

    `load` returns before it has read all of a large data set.

    Args:
        name, pair, data_dir: as given to `load`.

    Raises:
        ValueError: with the file and the number of the record, instead of TensorFlow's error.
    """
    if name == _MULTI30K:  # text files, which `load` has read
        yield
    else:
        with prepared.naming_damage(_tfds_name(name, pair)[0], data_dir):
            yield


def texts(pairs: Any) -> tuple[list[str], list[str]]:
    """Return the sources and the targets of what `load` gives, as two lists."""
    both = [(source.decode(), target.decode()) for source, target in pairs.as_numpy_iterator()]
    return [source for source, _ in both], [target for _, target in both]


def _languages(pair: str, known: list[str]) -> tuple[str, str]:
    if pair not in known:
        raise ValueError(f"`pair` must be one of {', '.join(known)}. Received: pair={pair!r}")
    source, target = pair.split("-")
    return source, target


def _count_lines(root: Path) -> dict[str, dict[str, int]]:
    """Split -> language -> lines, of all files, since TFDS reads all of them."""
    lines: dict[str, dict[str, int]] = defaultdict(dict)
    if not root.is_dir():
        raise ValueError(_missing(root / "<lang>.<split>.txt"))
    for file in sorted(root.iterdir()):
        found = _NAME.fullmatch(file.name)
        if found is None:
            raise ValueError(
                f"{root} must hold files <lang>.<split>.txt and nothing else. Received: {file.name}"
            )
        lines[found["split"]][found["language"]] = len(read_text(file).splitlines())
    if not lines:
        raise ValueError(_missing(root / "<lang>.<split>.txt"))
    for split, counts in lines.items():
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{lang}.{split}.txt {n}" for lang, n in counts.items())
            files = [root / f"{lang}.{split}.txt" for lang in counts]
            odd = "".join(filter(None, map(_odd_line_end, files)))
            raise ValueError(
                f"files of one split must have as many lines in {root}. Got: {listed}{odd}"
            )
    return lines


def _odd_line_end(file: Path) -> str | None:
    """The first character that ends a line for TFDS, but for few other programs."""
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        pieces = line.removesuffix("\r").splitlines(keepends=True)
        if len(pieces) > 1:
            return f"; {file.name} has U+{ord(pieces[0][-1]):04X} within line {number}"
    return None


def _multi30k_folder(pair: str, split: str, data_dir: Folder | None) -> Path:
    roots = _named_folders() + [_SHARED] if data_dir is None else [Path(data_dir).expanduser()]
    searched = [place for root in roots for place in (root, root / _MULTI30K / "raw")]
    for place in searched:
        if any(place.glob("*.train.txt")) or any(place.glob(f"*.{split}.txt")):
            return place
    file = f"{str(pair).split('-')[0]}.{split}.txt"
    raise ValueError(
        f"there is no {file} in {' or '.join(map(str, searched))}: put the text there, one "
        f"sentence a line ({_SOURCE}), or name its folder with --data-dir"
    )


def _named_folders() -> list[Path]:
    named = os.environ.get("TFDS_DATA_DIR")
    return [Path(named).expanduser()] if named else []


def _ordered(examples: Any, source: str, target: str) -> Any:
    return examples.map(lambda example: (example[source], example[target]))


def _missing(file: Path) -> str:
    return f"there is no {file}: put the text there, one sentence a line"


def _load_tfds(name: str, pair: str, split: str, data_dir: Folder | None) -> Any:
    import tensorflow_datasets as tfds

    full_name, source, target = _tfds_name(name, pair)
    place = prepared.prepared_folder(full_name, data_dir)
    try:
        builder = tfds.builder(full_name, data_dir=place or prepared.own_folder())
        if place is None:
            builder.download_and_prepare()
        known = sorted(builder.info.splits)  # a mock has none
        examples = None if known and split not in known else builder.as_dataset(split=split)
    except Exception as error:  # TFDS raises a dozen unrelated types for I/O, network and format
        raise ValueError(prepared.failure(full_name, place, error)) from error
    if examples is None:
        raise ValueError(f"`split` must be one of {', '.join(known)}. Received: split={split!r}")
    return _ordered(examples, source, target)


def _tfds_name(name: str, pair: str) -> tuple[str, str, str]:
    """Data set with its configuration, source and target language."""
    import tensorflow_datasets as tfds

    configs = {
        order: config.name
        for config in tfds.builder_cls(name).BUILDER_CONFIGS
        for order in ("-".join(config.language_pair), "-".join(reversed(config.language_pair)))
    }
    source, target = _languages(pair, sorted(configs))
    return f"{name}/{configs[pair]}", source, target
