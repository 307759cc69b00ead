"""What the READMEs name exists: API, commands, options, files, links, models."""

import itertools
import re
from functools import reduce
from typing import Any

import pytest

import models
import tfprune
from tests.support import guide_commands, guides
from tests.support.guides import GUIDES, ROOT
from tfprune.cli import main as command_line

API = guides.section(guides.read("tfprune/README.md"), "API")
COMMAND = re.compile(
    r"`((?:[A-Z_]+=\w+ )?(?:python -m )?(?:tfprune|(?:(?<=-m )|\./)?scripts[\w./]*) [^`]*)`"
)
EVERY_GUIDE = pytest.mark.parametrize("guide", GUIDES, ids=guides.name_of)


def first_cells(text: str) -> list[str]:
    """The first cell of every table row, without headings and rules."""
    return [row.split(" | ")[0][2:] for row in text.splitlines() if row.startswith("| `")]


def names_in(cells: list[str]) -> list[str]:
    """What the code spans name: `Block(h, w)` names Block."""
    return [name for cell in cells for name in re.findall(r"`([A-Za-z_][\w.]*)", cell)]


def exists(owner: Any, dotted: str) -> bool:
    try:
        reduce(getattr, dotted.split("."), owner)
    except AttributeError:
        return False
    return True


def anchors(text: str) -> set[str]:
    """The names that a link can have behind its #: headings as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", guides.prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EVERY_GUIDE
def test_every_guide_has_one_title_and_says_at_once_whom_it_is_for(guide):
    text = guides.prose(guide.read_text(encoding="utf-8"))
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1 and text.startswith("# ")
    if guide != ROOT / "README.md":
        assert text.split("\n\n")[1].startswith("For ")


def test_the_readme_has_at_most_200_lines():
    assert len(guides.read("README.md").splitlines()) <= 200


@EVERY_GUIDE
def test_every_link_and_picture_resolves(guide):
    for target in re.findall(r"\]\(([^)]+)\)", guides.prose(guide.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if path.startswith("https://"):
            continue
        file = (guide.parent / path) if path else guide
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


def test_every_guide_is_linked_from_another():
    linked = set()
    for guide in GUIDES:
        for path in re.findall(r"\]\(([^)#:]+)", guides.prose(guide.read_text(encoding="utf-8"))):
            target = (guide.parent / path).resolve()
            linked.add(target / "README.md" if target.is_dir() else target)
    assert {guides.name_of(guide) for guide in GUIDES[1:] if guide not in linked} == set()


@EVERY_GUIDE
def test_every_file_that_is_named_exists(guide):
    text = guides.prose(guide.read_text(encoding="utf-8"))
    for name in re.findall(r"`(?:\./)?([\w./-]+(?:/|\.(?:py|sh|mjs|cfg)))`", text):
        places = (guide.parent, ROOT, ROOT / "scripts")
        made = name.startswith("results/")  # by the quickstart
        assert made or any((place / name).exists() for place in places), name


def test_every_folder_of_the_package_is_in_the_map():
    folders = {file.parent.name for file in (ROOT / "tfprune").glob("*/__init__.py")}
    map_of = guides.section(guides.read("README.md"), "Folders")
    assert {name for name in folders if f"`tfprune/{name}/`" not in map_of} == set()


@EVERY_GUIDE
def test_every_command_that_is_named_has_its_options(guide):
    for text in COMMAND.findall(guides.prose(guide.read_text(encoding="utf-8"))):
        (words,) = guide_commands.command_lines(re.sub(r"(\w)\|[\w|]+", r"\1", text))
        guide_commands.check_command(words, mention=True)


def test_every_command_of_tfprune_is_named(capsys):
    with pytest.raises(SystemExit):
        command_line(["--help"])
    commands = re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)
    text = "".join(guide.read_text(encoding="utf-8") for guide in GUIDES)
    named = re.findall(r"`(?:python -m )?tfprune ([a-z]\w*)", text)
    assert commands and set(named) == set(commands)


def test_options_of_the_quickstart_are_named():
    named = set(re.findall(r"`(--[a-z-]+)", guides.section(guides.read("README.md"), "Start")))
    assert {"--data", "--data-dir", "--out"} <= named
    for option in named:
        guide_commands.check_command(["./scripts/quickstart.sh", option], mention=True)


def test_every_name_in_the_api_table_exists():
    names = names_in(first_cells(API))
    assert len(names) > 20
    assert [name for name in names if not exists(tfprune, name)] == []


def test_every_public_name_is_in_the_api_table():
    words = set(re.findall(r"\w+", API))
    assert [name for name in tfprune.__all__ if name not in words] == []


def test_every_scorer_is_described():
    text = guides.section(guides.read("tfprune/README.md"), "Scorers")
    assert [name for name in tfprune.scorers.names() if f'`"{name}"`' not in text] == []


def test_figures_of_scorers_in_the_text_are_in_its_tables():
    text = guides.section(guides.read("tfprune/README.md"), "Scorers")
    table = re.findall(r"^\|.*", text, re.MULTILINE)
    shown = set(re.findall(r"\d+\.\d\d", "".join(table)))
    written = re.sub(r"^\|.*|^At once: .*", "", text, flags=re.MULTILINE)
    assert set(re.findall(r"\d+\.\d\d", written)) <= shown


def test_every_name_in_the_migration_table_exists():
    from tfprune.compat import tfmot

    text = guides.prose(guides.read("tfprune/compat/README.md"))
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| ")][2:]
    options = "block_size block_pooling_type sparsity_m_by_n pruning_policy end_step".split()
    unlike = {"CentroidInitialization", "GradientAggregation", "QuantizeAnnotate"}
    unlike |= {"default_8bit", "quantizers"}
    namespaces = (tfmot.sparsity.keras, tfmot.clustering.keras, tfmot.quantization.keras)
    there = [name for namespace in namespaces for name in namespace.__all__]
    assert set(names_in([row[0] for row in rows])) == {*there, *options} - unlike
    ours = {name for row in rows for name in re.findall(r"\b([A-Z]\w+|prune)\(", row[1])}
    assert len(ours) > 4 and all(exists(tfprune, name) for name in ours)


def test_every_reference_model_is_in_the_table_with_its_size():
    rows = guides.read("models/README.md").splitlines()
    listed: dict[str, str] = {}
    for names, sizes in (row.split(" | ")[:2] for row in rows if row.startswith("| `")):
        listed |= dict(itertools.zip_longest(re.findall(r"`(\S+)`", names), sizes.split("; ")))
    families = tuple(name.split("<")[0] for name in listed if "<" in name)
    assert [n for n in models.names() if n not in listed and not n.startswith(families)] == []
    small = {name: size for name, size in listed.items() if "<" not in name and len(size) < 10}
    assert len(small) > 8
    assert {name: f"{models.build(name).count_params():,}" for name in small} == small
