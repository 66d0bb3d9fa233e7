"""The list of private APIs is whole, true, and proven: what our code leans on is in it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.private_apis import test_admin, test_django, test_http  # noqa: F401 - they prove
from tests.private_apis.uses import DOCUMENTED, PRIVATE_APIS, PROVEN

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "medblocks_connect"


def find_file(module):
    return ROOT / module if module.startswith("example_project/") else ROOT / PACKAGE / module


def list_uses():
    return [(name, module) for name, use in PRIVATE_APIS.items() for module in use.modules.split()]


def is_listed(name, file):
    return name in DOCUMENTED or any(
        api.rpartition(".")[2] == name and find_file(module) == file for api, module in list_uses()
    )


def is_private(name):
    return re.fullmatch(r"_[A-Za-z]\w*", name) is not None


def is_self(node):
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def find_private_names(tree) -> Iterator[str]:
    """Yield private names that are read of anything but ``self``, imported, or given as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not is_self(node.value):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call):
            texts = (each.value for each in node.args if isinstance(each, ast.Constant))
            yield from (text for text in texts if isinstance(text, str))


SOURCES = sorted(
    file
    for folder in (PACKAGE, "example_project")
    for file in (ROOT / folder).rglob("*.py")
    if "migrations" not in file.parts
)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_private_name_of_another_library_is_listed(file):
    names = set(find_private_names(ast.parse(file.read_text(encoding="utf-8"))))
    unlisted = {name for name in names if is_private(name) and not is_listed(name, file)}
    assert not unlisted, f"{file} leans on {unlisted}: list it here, with a test, or do without"


def read_own_names(cls):
    """Return the private names that the body of ``cls`` defines, and those that it reads."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    defined, read = set(), set()
    for node in body.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        defined |= {getattr(target, "id", getattr(target, "name", "")) for target in targets}
    for node in ast.walk(body):
        if isinstance(node, ast.Attribute) and is_self(node.value):
            (read if isinstance(node.ctx, ast.Load) else defined).add(node.attr)
    return set(filter(is_private, defined)), set(filter(is_private, read))


def list_classes():
    for file in SOURCES:
        if file.is_relative_to(ROOT / PACKAGE):
            module = importlib.import_module(
                ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            )
            for cls in vars(module).values():
                if isinstance(cls, type) and cls.__module__ == module.__name__:
                    yield pytest.param(cls, file, id=f"{module.__name__}.{cls.__name__}")


@pytest.mark.parametrize(("cls", "file"), [*list_classes()])
def test_private_name_of_a_base_class_is_listed(cls, file):
    defined, read = read_own_names(cls)
    ours = [base for base in cls.__mro__ if base.__module__.startswith(PACKAGE)]
    of_others = {name for base in cls.__mro__ if base not in ours for name in vars(base)}
    own = set().union(*(read_own_names(base)[0] for base in ours))
    leaned_on = (defined & of_others) | (read - own)
    unlisted = {name for name in leaned_on if not is_listed(name, file)}
    assert not unlisted, f"{cls} leans on {unlisted}: list it here, with a test, or do without"


@pytest.mark.parametrize(("name", "module"), list_uses())
def test_listed_module_names_the_api(name, module):
    word = re.escape(name.rpartition(".")[2])
    assert re.search(rf"\b{word}\b", find_file(module).read_text(encoding="utf-8")), (
        f"{module} leans on {name} no more: strike it from the list"
    )


def test_each_listed_api_has_its_test():
    assert set(PRIVATE_APIS) == PROVEN
