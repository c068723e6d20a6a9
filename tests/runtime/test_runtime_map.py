"""The map of the runtime's modules, in the docstring of the package, is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import actors.runtime

FOLDER = Path(actors.runtime.__file__).parent
BESIDE = {"schedules"}
"""Stands beside the others: nothing imports it."""


def _map() -> list[str]:
    """The modules in the order of the map."""
    text = actors.runtime.__doc__ or ""
    lines = re.findall(r"^  (\w+(?:, \w+)*)   *\S.*$", text, re.MULTILINE)
    return [name for line in lines for name in line.split(", ")]


def _imports(module: str) -> set[str]:
    """What a module of the runtime imports of the runtime when it runs."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    found = [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[2] for name in found if name.startswith("actors.runtime.")}


def test_every_module_is_on_it_once():
    """None is forgotten, none is there that is gone."""
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"} - BESIDE
    assert sorted(_map()) == sorted(modules)


def test_each_module_imports_only_those_before_it():
    """Lines above, and to the left on its own line."""
    order = _map()
    later = {name: sorted(_imports(name) - set(order[:index])) for index, name in enumerate(order)}
    assert {name: found for name, found in later.items() if found} == {}


def test_every_public_name_is_exported_and_described():
    """`__all__` is what the package imports, and each class and function of it has a docstring."""
    exported = set(actors.runtime.__all__)
    tree = ast.parse((FOLDER / "__init__.py").read_text())
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert exported == imported - {"annotations"}
    objects = {name: getattr(actors.runtime, name) for name in exported}
    assert [name for name, found in objects.items() if callable(found) and not found.__doc__] == []
