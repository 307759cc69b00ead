"""`import tfprune`: names on first use, and classes that Keras knows once it is there."""

import ast
import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tfprune
from tests.golden import make_golden
from tfprune.support.import_hooks import SecondNames, after_import

GOLDEN = Path(make_golden.__file__).parent / "pruned.keras"
SECOND_NAMES = {
    "distributions": "sparsity.distributions",
    "masks": "sparsity.masks",
    "prunable": "layer_classes.prunable",
    "schedules": "sparsity.schedules",
    "structures": "sparsity.structures",
}


def run(code):
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def declared():
    """Name -> module and name there, as type checkers read them in tfprune/__init__.py."""
    tree = ast.parse(Path(tfprune.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and is_for_types(node)]
    return {
        alias.name: (statement.module, alias.name)
        for statement in block.body
        for alias in statement.names
    }


def is_for_types(node):
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_type_checkers_see_the_names_that_are_public_and_find_them_where_they_are():
    assert set(declared()) == set(tfprune.__all__)
    for name, (module, attribute) in declared().items():
        parent = importlib.import_module(module)
        found = getattr(parent, attribute, None)
        if found is None:  # a module that nothing has imported yet
            found = importlib.import_module(f"{module}.{attribute}")
        assert getattr(tfprune, name) is found


def test_dir_shows_public_names_only_and_unknown_names_are_refused_by_name():
    assert dir(tfprune) == sorted([*tfprune.__all__, "__version__"])
    assert tfprune.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="module 'tfprune' has no attribute 'prunes'"):
        tfprune.prunes  # noqa: B018
    with pytest.raises(ImportError, match="prunes"):
        from tfprune import prunes  # noqa: F401


@pytest.mark.parametrize("second, first", SECOND_NAMES.items())
def test_public_modules_are_one_object_under_both_names(second, first):
    module = importlib.import_module(f"tfprune.{first}")
    assert importlib.import_module(f"tfprune.{second}") is module
    assert getattr(tfprune, second) is module
    assert module.__name__ == module.__spec__.name == f"tfprune.{first}"


def test_keras_knows_the_classes_where_both_are_imported_and_nothing_heavy_comes_before():
    code = f"""
        import importlib, pkgutil, sys
        import tfprune
        print(*{{"keras", "numpy", "tensorflow", "rich"}} & set(sys.modules))

        import keras
        model = keras.saving.load_model({str(GOLDEN)!r})
        print(type(model.layers[0]).__module__)

        def known():
            return {{name for name in keras.saving.get_custom_objects() if "tfprune>" in name}}

        before = known()
        for module in pkgutil.walk_packages(tfprune.__path__, "tfprune."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        print(len(before) > 20, known() - before)
    """
    assert run(code).splitlines() == ["", "tfprune.wrapping.pruned_layer", "True set()"]


def test_modules_that_need_no_keras_import_none_and_leave_the_classes_for_later():
    code = f"""
        import sys
        import tfprune.export.predict.linting, tfprune.export.run.bench, tfprune.reports.tables
        print("keras" in sys.modules)

        import keras
        print(type(keras.saving.load_model({str(GOLDEN)!r}).layers[0]).__module__)
    """
    assert run(code).splitlines() == ["False", "tfprune.wrapping.pruned_layer"]


def test_keras_knows_the_classes_after_the_import_of_any_module():
    code = f"""
        from tfprune.schedules import PolynomialDecay

        import keras
        import tfprune
        import tfprune.sparsity.schedules as first
        model = keras.saving.load_model({str(GOLDEN)!r})
        print(type(model.layers[0]).__module__)
        print(first.PolynomialDecay is PolynomialDecay is tfprune.PolynomialDecay)
    """
    assert run(code).splitlines() == ["tfprune.wrapping.pruned_layer", "True"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `waited` of two modules, of which one imports the other; both print."""
    folder = tmp_path / "waited"
    folder.mkdir()
    (folder / "__init__.py").write_text("print('package')\n")
    (folder / "first.py").write_text("import waited.second\nprint('first')\n")
    (folder / "second.py").write_text("print('second')\n")
    (folder / "broken.py").write_text("raise OSError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "waited"]:
        del sys.modules[name]


def test_work_waits_for_the_outermost_import_and_is_done_once(package, capsys):
    finders = list(sys.meta_path)
    after_import(lambda name: name.startswith("waited."), lambda: print("work"))
    importlib.import_module("waited")
    assert capsys.readouterr().out.split() == ["package"]
    module = importlib.import_module("waited.first")
    assert capsys.readouterr().out.split() == ["second", "first", "work"]
    importlib.reload(module)
    assert capsys.readouterr().out.split() == ["first"]
    assert sys.meta_path == finders
    assert "exec_module" not in vars(module.__loader__)


def test_work_waits_until_it_can_be_done(package, capsys):
    done = []
    finders = list(sys.meta_path)
    ready = lambda: "waited.first" in sys.modules  # noqa: E731
    after_import(lambda name: name.startswith("waited."), lambda: done.append(1), ready=ready)
    importlib.import_module("waited.second")
    assert done == []
    importlib.import_module("waited.first")
    assert done == [1]
    assert sys.meta_path == finders


def test_work_waits_on_where_an_import_fails(package, capsys):
    after_import(lambda name: name.startswith("waited."), lambda: print("work"))
    with pytest.raises(OSError, match="broken"):
        importlib.import_module("waited.broken")
    with pytest.raises(ModuleNotFoundError, match="waited.third"):
        importlib.import_module("waited.third")
    assert capsys.readouterr().out.split() == ["package"]
    importlib.import_module("waited.second")
    assert capsys.readouterr().out.split() == ["second", "work"]


def test_a_second_name_executes_nothing_twice(package, capsys):
    sys.meta_path.insert(0, SecondNames({"waited.other": "waited.second"}))
    other = importlib.import_module("waited.other")
    assert importlib.import_module("waited.second") is other
    assert capsys.readouterr().out.split() == ["package", "second"]
    assert other.__spec__.name == "waited.second"
    assert importlib.reload(other) is other
