"""models/data/translation.py: text folders and TFDS."""

from pathlib import Path

import pytest

from models.data.translation import folder, load, names, naming_damage, texts

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "multi30k" / "raw"
ENGLISH = ["two dogs", "a man in a red hat", "a man", "two men in red hats see a dog", "dogs", ""]
GERMAN = ["zwei hunde", "ein mann mit rotem hut", "ein mann", "zwei sehen hunde", "hunde", "x"]


def write(root, **files):
    """Write `lang_split` texts as TranslateFolder wants them."""
    root.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        text = "".join(f"{line}\n" for line in lines)
        (root / f"{name.replace('_', '.')}.txt").write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def root(tmp_path):
    return write(
        tmp_path / "text",
        en_train=ENGLISH,
        de_train=GERMAN,
        en_val=ENGLISH[:2],
        de_val=GERMAN[:2],
    )


def test_sentences_come_in_the_order_of_the_files(root):
    assert texts(folder(root, "en-de", "train")) == (ENGLISH, GERMAN)
    assert texts(folder(root, "de-en", "val")) == (GERMAN[:2], ENGLISH[:2])


@pytest.mark.parametrize("place", ["", "multi30k/raw"])
def test_multi30k_is_found_in_or_under_the_named_folder(place, tmp_path, monkeypatch):
    write(tmp_path / place, en_train=["a"], de_train=["ein"])
    assert texts(load("multi30k", "en-de", "train", tmp_path)) == (["a"], ["ein"])
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert texts(load("multi30k", "de-en", "train")) == (["ein"], ["a"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="Multi30k is not at hand")
def test_multi30k_beside_the_checkout_is_found(monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    english, german = texts(load("multi30k", "en-de", "val"))
    assert len(english) == len(german) == 1_014
    assert english[0] == "A group of men are loading cotton onto a truck"


@pytest.mark.parametrize(
    ("name", "pair", "languages"),
    [
        ("wmt16_translate", "de-en", ("de", "en")),
        ("wmt14_translate", "en-fr", ("en", "fr")),
        ("ted_hrlr_translate", "ru-en", ("ru", "en")),
        ("ted_hrlr_translate", "en-az_tr", ("en", "az_tr")),
    ],
)
def test_tfds_data_sets_give_both_languages_in_the_order_asked_for(
    name, pair, languages, tmp_path, monkeypatch
):
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def examples(self, *args, **kwargs):
        import tensorflow as tf

        rows = {language: [f"{language} {n}" for n in range(3)] for language in languages}
        return tf.data.Dataset.from_tensor_slices(rows)

    with tfds.testing.mock_data(as_dataset_fn=examples):
        found = texts(load(name, pair, "train"))
    assert found == tuple([f"{language} {n}" for n in range(3)] for language in languages)


def test_a_prepared_tfds_data_set_is_read(tmp_path):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    languages = ("de", "en")
    tfds.dataset_builders.store_as_tfds_dataset(
        name="wmt16_translate",
        config="de-en",
        version="1.0.0",
        data_dir=str(tmp_path),
        features=tfds.features.Translation(languages=languages),
        split_datasets={
            "train": tf.data.Dataset.from_tensor_slices({"de": GERMAN[:2], "en": ENGLISH[:2]})
        },
    )
    source, target = texts(load("wmt16_translate", "en-de", "train", tmp_path))
    assert sorted(zip(source, target)) == sorted(zip(ENGLISH[:2], GERMAN[:2]))
    with pytest.raises(ValueError, match="`split` must be one of train. .*'dev'"):
        load("wmt16_translate", "en-de", "dev", tmp_path)
    shard = next(tmp_path.rglob("*.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:20])
    message = r"'wmt16_translate/de-en' is damaged: .*tfrecord.*, record 1"
    with pytest.raises(ValueError, match=message) as error:
        with naming_damage("wmt16_translate", "en-de", tmp_path):
            texts(load("wmt16_translate", "en-de", "train", tmp_path))
    assert "\n" not in str(error.value)


def test_unknown_data_sets_and_pairs_name_the_known_ones(root):
    with pytest.raises(ValueError, match="one of multi30k, ted_hrlr_translate, wmt13_.*'iwslt'"):
        load("iwslt", "en-de", "train")
    assert names()[-1] == "wmt19_translate"
    with pytest.raises(ValueError, match="`pair` must be one of de-en, en-de. .*pair='en-xx'"):
        folder(root, "en-xx", "train")
    with pytest.raises(ValueError, match="`pair` must be one of cs-en, .*en-tr.*pair='en-xx'"):
        load("wmt16_translate", "en-xx", "train")
    with pytest.raises(ValueError, match="`pair` must be one of .*az_tr-en.*pair='en-xx'"):
        load("ted_hrlr_translate", "en-xx", "train")
    with pytest.raises(ValueError, match="`split` must be one of train, val, .*split='test'"):
        folder(root, "en-de", "test")


def test_missing_text_says_where_it_was_looked_for_and_how_to_get_it(tmp_path):
    with pytest.raises(ValueError, match="there is no en.train.txt in .*: put the") as error:
        load("multi30k", "en-de", "train", tmp_path)
    message = str(error.value)
    assert str(tmp_path) in message and "github.com/multi30k" in message and "\n" not in message
    with pytest.raises(ValueError, match="no dataset_info.json in .*tfds build wmt16_trans"):
        load("wmt16_translate", "de-en", "train", tmp_path)
    with pytest.raises(ValueError, match="there is no .*nowhere"):
        folder(tmp_path / "nowhere", "en-de", "train")


def test_a_split_of_one_language_only_is_missing_the_other(root):
    write(root, en_test=["a"], fr_test=["un"])
    with pytest.raises(ValueError, match="there is no .*de.test.txt"):
        folder(root, "en-de", "test")


def test_damaged_text_is_named_with_its_line(root):
    (root / "de.train.txt").write_bytes(b"ein\nm\xc3\xa4nner\n\xff\xfe\n" + b"x\n" * 3)
    with pytest.raises(ValueError, match="de.train.txt is damaged: line 3 is not UTF-8") as error:
        folder(root, "en-de", "train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("german", "message"),
    [
        (b"", "is damaged: it is empty"),
        (b"ein\nzw\0i\n", "is damaged: a zero byte in line 2"),
        (b"\xef\xbb\xbfein\nzwei\n", "must not begin with a byte order mark, which line 1 has"),
    ],
)
def test_text_that_broke_off_or_was_garbled_is_named_with_its_line(root, german, message):
    (root / "de.val.txt").write_bytes(german)
    with pytest.raises(ValueError, match=f"de.val.txt {message}") as error:
        folder(root, "en-de", "train")  # TFDS reads every file
    assert "\n" not in str(error.value)


def test_a_character_that_ends_a_line_for_tfds_alone_is_named_with_its_line(root):
    write(root, de_train=[*GERMAN[:2], "ein\u2028mann", *GERMAN[3:]])
    message = r"de.train.txt 7, en.train.txt 6; de.train.txt has U\+2028 within line 3"
    with pytest.raises(ValueError, match=message):
        folder(root, "en-de", "train")


def test_an_empty_folder_is_missing_the_text(tmp_path):
    with pytest.raises(ValueError, match="there is no .*<lang>.<split>.txt: put the text there"):
        folder(tmp_path, "en-de", "train")


def test_values_that_are_no_names_are_refused_like_unknown_names(root, tmp_path):
    with pytest.raises(ValueError, match="`split` must be one of .* split=.'train'."):
        folder(root, "en-de", ["train"])
    with pytest.raises(ValueError, match="`pair` must be one of .*pair=None"):
        folder(root, None, "train")
    with pytest.raises(ValueError, match="there is no None.train.txt in"):
        load("multi30k", None, "train", tmp_path / "nowhere")


def test_files_that_do_not_correspond_are_named_with_their_lines(root):
    write(root, de_train=GERMAN[:-2])
    with pytest.raises(ValueError, match="de.train.txt 4, en.train.txt 6"):
        folder(root, "en-de", "train")


def test_a_file_of_another_name_is_refused(root):
    (root / "README").write_text("")
    with pytest.raises(ValueError, match="<lang>.<split>.txt and nothing else. Rec.*README"):
        folder(root, "en-de", "train")
