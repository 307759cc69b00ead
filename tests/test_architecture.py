"""Where things stand in this repository; `lint-imports` (setup.cfg) checks who imports whom."""

import ast
import inspect
import subprocess
import sys
from collections import Counter

import keras

from tests.support import source
from tests.support.source import ROOT

LINES = 300
FILES = 13  # a folder holds about a dozen, `__init__.py` not counted
DERIVATIVES = "tfprune/calibration/derivatives"
ONE_PAPER_ONE_FILE = "tfprune/scorers"

PRIVATE_KERAS = {"tfprune/keras_graph/private_keras.py", "tfprune/wrapping/pruned_layer.py"}
# Private names of others than Keras: a frame, and the package that a benchmark compares with.
PRIVATE_ELSEWHERE = {
    "_getframe": "tfprune/wrapping/pruned_layer.py",
    "_pruning_vars": "scripts/bench/core.py",
    "_maybe_update_block_mask": "scripts/bench/core.py",
}

# Folders of tests that mirror no folder of code.
OF_TESTS_ALONE = {
    "golden",
    "support",
    "support/compat",
    "support/export",
    "support/public",
    "support/scorers",
}


def test_the_root_of_the_package_holds_its_front_doors_and_folders_alone():
    found = {path.name for path in (ROOT / "tfprune").iterdir() if path.is_file()}
    assert found == {"__init__.py", "__main__.py", "README.md", "py.typed"}


def test_no_file_has_more_than_300_lines():
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in source.files()}
    assert {path: length for path, length in lengths.items() if length > LINES} == {}


def test_no_folder_has_more_than_about_a_dozen_files():
    counts = Counter(str(path.parent) for path in source.files() if path.name != "__init__.py")
    del counts[ONE_PAPER_ONE_FILE]
    assert {folder: count for folder, count in counts.items() if count > FILES} == {}


def test_every_folder_of_code_is_a_package():
    folders = {path.parent for path in source.files()}
    assert [str(path) for path in folders if not (ROOT / path / "__init__.py").is_file()] == []


def test_folders_of_tests_mirror_folders_of_code():
    folders = {str(path.parent.relative_to("tests")) for path in source.files("tests")}
    mirrored = {".", "models", "scripts"} | OF_TESTS_ALONE
    missing = [
        folder
        for folder in folders - mirrored
        if not any((ROOT / parent / folder).is_dir() for parent in ("tfprune", "."))
    ]
    assert missing == []


def test_no_function_or_class_has_the_name_of_its_module():
    """Else `from package import name` gives one or the other, depending on what was imported."""
    for path in source.files():
        module = path.parent.name if path.name == "__init__.py" else path.stem
        defined = {getattr(node, "name", None) for node in source.tree(path).body}
        assert module not in defined, path


def test_no_package_gives_the_name_of_one_of_its_modules_to_something_else():
    for path in source.files():
        if path.name == "__init__.py":
            package = ".".join(path.parent.parts)
            modules = {item.stem for item in (ROOT / path).parent.iterdir()}
            taken = {name for module, name in source.imports(path) if module != package}
            assert taken & modules <= {"scorers"}, path


def test_no_module_has_the_name_of_one_of_the_standard_library():
    """It would be imported in its place by a script in the same folder."""
    names = {path: path.stem for path in source.files() if not path.stem.startswith("__")}
    names |= {path: path.parent.name for path in source.files() if path.name == "__init__.py"}
    assert [str(path) for path, name in names.items() if name in sys.stdlib_module_names] == []


def test_tensorflow_is_imported_by_the_tape_the_samples_and_the_export_alone():
    outside = [path for path in source.importers("tensorflow") if "/export/" not in path]
    assert outside == [f"{DERIVATIVES}/samples.py", f"{DERIVATIVES}/tape.py"]


def test_one_file_opens_gradient_tapes():
    openers = [str(p) for p in source.files("tfprune") if "GradientTape" in source.attributes(p)]
    assert openers == [f"{DERIVATIVES}/tape.py"]


def test_jax_is_imported_by_its_derivatives_alone_since_keras_speaks_for_the_rest():
    assert source.importers("jax") == [f"{DERIVATIVES}/transforms.py"]


def test_modules_are_imported_by_statements_which_the_contracts_see():
    """Names on first use, in the two front doors, and modules that a user names are exceptions."""
    by_name = [
        str(path)
        for path in source.files("tfprune")
        if {"import_module", "__import__"} & {*source.attributes(path)}
    ]
    assert set(by_name) <= {
        "tfprune/__init__.py",
        "tfprune/cli/commands/models.py",
        "tfprune/export/__init__.py",
        "tfprune/support/import_hooks.py",
    }


def private_attributes(path):
    """Private names that a file uses and does not define itself."""
    used = {name for name in source.attributes(path) if name.startswith("_")}
    used = {name for name in used if not name.startswith("__")}
    return {
        name for name in used - source.own_names(path) if PRIVATE_ELSEWHERE.get(name) != str(path)
    }


def test_private_names_of_keras_stand_in_two_files():
    users = {
        str(path): names
        for path in source.files("tfprune", "models", "scripts")
        if str(path) not in PRIVATE_KERAS and (names := private_attributes(path))
    }
    assert users == {}


def test_modules_inside_keras_are_imported_by_one_file():
    found = source.importers("keras.src", among=("tfprune", "models", "scripts"))
    assert set(found) <= {"tfprune/keras_graph/private_keras.py"}


def test_no_class_has_a_private_name_that_keras_gives_a_meaning():
    """It would change what Keras does, unseen; but for what the wrapper presents to Keras."""
    made = {
        "Layer": keras.layers.Layer(),
        "Wrapper": keras.layers.Wrapper(keras.layers.Dense(1)),
        "Model": keras.Model(),
        "Callback": keras.callbacks.Callback(),
    }
    meant = {
        base: {name for name in dir(item) if name.startswith("_") and not name.endswith("__")}
        for base, item in made.items()
    }
    assert "_flatten_layers" in meant["Wrapper"] and "_model" in meant["Callback"]
    seen = set()
    for path in source.files("tfprune", "models", "scripts"):
        for node in ast.walk(source.tree(path)):
            for base in getattr(node, "bases", []):
                kind = ast.unparse(base).rpartition(".")[2]
                if kind in meant and str(path) not in PRIVATE_KERAS:
                    seen.add(kind)
                    assert source.names_in(node) & meant[kind] == set(), (path, node.name)
    assert len(seen) > 1


def test_import_of_the_package_brings_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-c", "import tfprune"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in shown.splitlines()}
    assert "tfprune" in imported
    assert imported & {"tensorflow_datasets", "matplotlib", "jax", "scipy"} == set()


def test_every_public_name_works_where_optional_packages_cannot_be_imported():
    """Keras itself imports some of them where they are; tfprune and its scorers need none."""
    code = """
        import sys
        for name in ("tensorflow_datasets", "matplotlib", "jax", "sklearn", "sacrebleu"):
            sys.modules[name] = None
        import keras, tfprune
        for name in tfprune.__all__:
            getattr(tfprune, name)
        print("all there")
    """
    command = [sys.executable, "-c", inspect.cleandoc(code)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["all", "there"]
