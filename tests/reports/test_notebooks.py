"""Reports in notebooks and at the prompt: one line each, and a table that escapes its names."""

from html.parser import HTMLParser

import keras
import numpy as np
import pytest

import tfprune
from tests.support.export.models import zero_out
from tfprune.export import lint, to_tflite

NAME = "one>two"


class Balance(HTMLParser):
    """Counts tags that are open, and takes down the text of cells."""

    def __init__(self):
        super().__init__()
        self.open, self.cells = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """One of each: what it is called -> the object."""
    path = tmp_path_factory.mktemp("files") / "model.tflite"
    inputs = keras.Input((32,))
    outputs = keras.layers.Dense(4)(keras.layers.Dense(32, name=NAME)(inputs))
    model = zero_out(keras.Model(inputs, outputs, name="m"), 0.75)
    model.compile("sgd", "mse")
    data = np.ones((8, 32), "float32"), np.ones((8, 4), "float32")
    return {
        "Report": tfprune.report(model, verbose=False),
        "ExportReport": to_tflite(model, path),
        "Coverage": lint(path),
        "Sensitivity": tfprune.sensitivity(model, data, sparsities=[0.5], verbose=False),
        "OneShotReport": tfprune.one_shot(model, 0.8, "magnitude", data, "mse", verbose=False)[1],
        "ChannelPlan": tfprune.channels.plan(model, 0.5),
    }


NAMES = ("Report", "ExportReport", "Coverage", "Sensitivity", "OneShotReport", "ChannelPlan")


@pytest.mark.parametrize("name", NAMES)
def test_repr_is_one_line_and_str_is_the_text(shown, name):
    found = shown[name]
    assert type(found).__name__ == name and repr(found).startswith(f"<{name}")
    assert "\n" not in repr(found) and len(repr(found)) < 250
    assert "\n" in str(found) and str(found) != repr(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_a_table_with_names_as_they_are(shown, name):
    parser = Balance()
    text = shown[name]._repr_html_()
    parser.feed(text)
    assert parser.open == [] and len(parser.cells) >= 5 and "<script" not in text
    if name != "OneShotReport":  # it names no layer
        assert any(NAME in cell for cell in parser.cells) and NAME not in text
