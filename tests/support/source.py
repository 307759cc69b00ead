"""What the source says of itself: files, imports and names, read and not executed."""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tfprune", "models", "scripts", "tests")


def files(*packages):
    """Python files of packages (of all of them by default), as paths below the checkout."""
    found = [
        path.relative_to(ROOT)
        for package in packages or PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]
    assert len(found) > 10
    return found


@functools.cache
def tree(path):
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imports(path):
    """Yield (module, name) of every import, those in functions too; name is "" for a module's."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from ((node.module, alias.name) for alias in node.names)


def importers(package, *, among=("tfprune",)):
    """Files that import a package or anything in it."""
    return [
        str(path)
        for path in files(*among)
        if any(f"{module}.".startswith(f"{package}.") for module, _ in imports(path))
    ]


def attributes(path):
    """Yield the name of every attribute that is read, set, or asked for by getattr and the like."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id.endswith("attr") and isinstance(node.args[1], ast.Constant):
                yield node.args[1].value


def own_names(path):
    """Names that a file defines: functions, classes, variables, and attributes of self and cls."""
    return names_in(tree(path))


def names_in(root):
    """The same of a part of a file."""
    names = set()
    for node in ast.walk(root):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                names.add(node.attr)
    return names
