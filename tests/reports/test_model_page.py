"""The page of a report: what it counts and shows, that it needs no other file, is whole or not
there, and that a real browser shows it."""

import html
import os
import re
import struct
import zlib

import keras
import numpy as np
import pytest

import tfprune
from tests.reports import browser
from tests.reports.test_report import _model, _pruned_now, page_of
from tfprune.reports import totals
from tfprune.reports.pages import drawings, model_page
from tfprune.reports.pages.weight_picture import pictured

HISTORY = {"loss": [2.0, 1.0], "val_loss": [2.5, 1.5], "sparsity": [0.25, 0.5]}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with everything on it, and the report that it is of."""
    folder = tmp_path_factory.mktemp("page")
    found = tfprune.report(_pruned_now(_model()), verbose=False)
    found.to_html(folder / "report.html", history=HISTORY)
    return folder / "report.html", found


def test_html_says_what_its_measures_count():
    text = page_of(tfprune.report(_pruned_now(_model()), verbose=False))
    cards = re.findall(r'class="card"><span>(.*?)</span><b>(.*?)</b><span>(.*?)</span>', text)
    assert cards[0] == ("sparsity of the prunable weights", "50.00%", "192 values → 96 nonzero")
    assert ("compression rate: all over nonzero parameters", "2.16\u00d7") in [c[:2] for c in cards]
    assert cards[2][0] == "space saving: bytes as bit mask + values"
    for formula in totals.FORMULAS.values():
        assert f"<td>{html.escape(formula)}</td>" in text


def test_the_page_needs_no_other_file_and_is_small(page):
    text = page[0].read_text(encoding="utf-8")
    assert "first/kernel" in text and len(text) < 300_000
    assert not re.search(r'(src|href|srcset)="(?!data:)', text) and "url(" not in text
    assert "@media print" in text and "prefers-color-scheme: dark" in text
    assert os.listdir(page[0].parent) == ["report.html"]


def test_a_page_of_many_layers_stays_below_300_kb(tmp_path):
    layers = [keras.layers.Dense(96, name=f"a_rather_long_name_{n}") for n in range(100)]
    model = keras.Sequential([keras.Input((96,)), *layers])
    found = tfprune.report(_pruned_now(model, 0.9), verbose=False)
    found.to_html(tmp_path / "page.html", layers=[layer.name for layer in layers[:24]])
    assert os.path.getsize(tmp_path / "page.html") < 300_000


def test_sparsity_and_losses_are_drawn_over_training_if_there_is_a_history(page):
    text = page[0].read_text(encoding="utf-8")
    assert text.count("<polyline") == 3 and "sparsity over training" in text
    assert "over training" not in page_of(page[1])


def test_the_layers_to_draw_can_be_chosen(page, tmp_path):
    found = page[1]
    assert page[0].read_text(encoding="utf-8").count("<figcaption>") == 2 + 2
    found.to_html(tmp_path / "page.html", layers=["last"])
    captions = re.findall("<figcaption>(.*?)</figcaption>", (tmp_path / "page.html").read_text())
    assert captions == ["small/last/kernel"] or captions == ["last/kernel"]
    with pytest.raises(ValueError, match="`layers` must be one of 'first', 'last'. Received"):
        found.to_html(tmp_path / "page.html", layers=["relu"])
    with pytest.raises(TypeError, match="`history` must be what fit returns"):
        found.to_html(tmp_path / "page.html", history=[0.5])


def test_a_histogram_counts_kept_and_masked_values_and_marks_the_smallest_kept():
    values = np.array([[-2.0, 0.1], [0.5, 0.0]])
    picture = pictured(values, np.abs(values) >= 0.5)
    assert (picture.limit, picture.threshold) == (2.0, 0.5)
    assert picture.kept[0] == 1 and sum(picture.kept) == 2
    assert sum(picture.removed) == 1, "what is zero has no place among the values"
    assert pictured(values, np.ones((2, 2), bool)).threshold is None
    assert pictured(np.zeros((0, 3)), np.zeros((0, 3), bool)).limit == 0.0
    drawn = drawings.histogram(picture.kept, picture.removed, 2.0, 0.5)
    assert drawn.count("<line ") == 2 and "threshold 0.5" in drawn


def test_the_picture_of_a_mask_is_a_grey_png_of_its_density():
    kept = np.zeros((128, 256), bool)
    kept[:64] = True
    picture = pictured(np.ones(kept.shape), kept).png()
    width, height, depth, colour = struct.unpack(">IIBB", picture[16:26])
    assert (width, height, depth, colour) == (64, 64, 8, 0)
    start = picture.index(b"IDAT") + 4
    rows = np.frombuffer(zlib.decompress(picture[start:-16]), np.uint8).reshape(64, 65)
    assert (rows[:32, 1:] == 255).all() and (rows[32:] == 0).all()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_browser_shows_the_page_and_complains_of_nothing(page, tmp_path, colours):
    options = ["--blink-settings=preferredColorScheme=0"] if colours == "dark" else []
    picture = tmp_path / "page.png"
    assert browser.screenshot(page[0], picture, *options) == []
    pixels = browser.pixels(picture)
    grey = pixels.mean(axis=2)
    background = np.median(grey)
    assert background < 60 if colours == "dark" else background > 240
    assert (np.abs(grey - background) > 60).mean() > 0.02, "nothing is drawn"
    assert np.ptp(pixels, axis=2).max() > 60, "no colour is drawn"


def test_a_click_on_a_heading_sorts_the_rows_and_a_second_one_turns_them_round(page, tmp_path):
    script = """(() => {
      const table = document.querySelector(".sortable"), seen = [];
      const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
      const head = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === "parameters");
      for (let turn = 0; turn < 2; turn++) { head.click(); seen.push(names()); }
      return [seen, head.getAttribute("aria-sort")];
    })()"""
    (up, down), state = browser.evaluated(page[0], script, tmp_path)
    sizes = {weight.path: weight.size for weight in page[1].weights}
    assert up == sorted(sizes, key=sizes.get) and down == up[::-1] and state == "descending"


def test_a_browser_that_finds_an_error_tells_it(tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text("<script>undefinedFunction()</script>")
    (line,) = browser.screenshot(broken, tmp_path / "broken.png", size="100,100")
    assert "undefinedFunction" in line


@pytest.mark.parametrize("path", ["missing/report.html", "."])
def test_unwritable_html_path_is_one_error_and_leaves_nothing(tmp_path, path):
    found = tfprune.report(_model(), verbose=False)
    with pytest.raises(ValueError, match="`path` must be writable. Received: path="):
        found.to_html(tmp_path / path)
    assert os.listdir(tmp_path) == []


def test_html_that_fails_halfway_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("older")

    def fail(*args, **kwargs):
        raise RuntimeError("no page")

    monkeypatch.setattr(model_page, "totals_rows", fail)
    with pytest.raises(RuntimeError, match="no page"):
        tfprune.report(_model(), verbose=False).to_html(path)
    assert path.read_text() == "older" and os.listdir(tmp_path) == ["report.html"]
