"""The page of a report: what it counts, that it needs no other file, and is whole or not there."""

import base64
import html
import os
import re

import pytest

import tfprune
from tests.reports.test_report import _model, _pruned_now, page_of
from tfprune.reports import plots, totals


def test_html_says_what_its_measures_count():
    page = page_of(tfprune.report(_pruned_now(_model()), verbose=False))
    cards = re.findall(r'<div class="card"><b>(.*?)</b><span>(.*?)</span>', page)
    assert ("2.16\u00d7", "compression rate: all over nonzero parameters") in cards
    assert any(text == "space saving: bytes as bit mask + values" for _, text in cards)
    for formula in totals.FORMULAS.values():
        assert f"<td>{html.escape(formula)}</td>" in page


def test_html_needs_no_other_file_and_has_a_picture_for_light_and_dark(tmp_path):
    path = tmp_path / "report.html"
    tfprune.report(_pruned_now(_model()), verbose=False).to_html(path)
    page = path.read_text(encoding="utf-8")
    assert "first/kernel" in page and "64 of 128" not in page  # the picture holds that
    assert not re.search(r'(src|href|srcset)="(?!data:)', page)
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(pictures) == 2
    assert all(base64.b64decode(p).startswith(b"\x89PNG") for p in pictures)
    assert os.listdir(tmp_path) == ["report.html"]


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
        raise RuntimeError("no plot")

    monkeypatch.setattr(plots, "layer_sparsity", fail)
    with pytest.raises(RuntimeError, match="no plot"):
        tfprune.report(_model(), verbose=False).to_html(path)
    assert path.read_text() == "older" and os.listdir(tmp_path) == ["report.html"]
