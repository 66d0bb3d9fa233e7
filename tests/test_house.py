"""The house's rules: arrows point one way."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import medblocks_connect

PACKAGE = Path(medblocks_connect.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    """Return every module that ``path`` imports, wherever in it, as ``package.module.name``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports hide where an arrow points"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _below(names: set[str], package: str) -> set[str]:
    return {name for name in names if name == package or name.startswith(f"{package}.")}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_one_way(path):
    name, imports = _name(path), _imports(path)
    ours = _below(imports, "medblocks_connect")
    if name.startswith("medblocks_connect.api"):
        allowed = _below(ours, "medblocks_connect.api") | {"medblocks_connect.__version__"}
        assert not _below(imports, "django")
        assert ours <= allowed
    elif name.startswith("medblocks_connect.sandbox"):
        own = _below(ours, "medblocks_connect.sandbox")
        assert ours - own <= _below(ours, "medblocks_connect.api.signatures")
    else:
        assert not _below(ours, "medblocks_connect.sandbox")
    if not name.endswith(".urls"):
        for views in ("views", "json_views", "webhooks", "admin"):
            same = name.startswith(f"medblocks_connect.{views}")
            assert same or not _below(ours, f"medblocks_connect.{views}")
            assert same or f"medblocks_connect.{views}" not in ours


@pytest.mark.parametrize(
    "path", [path for path in MODULES if "migrations" not in path.parts], ids=_name
)
def test_module_says_what_it_decides(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_settings_are_read_in_one_place():
    reading = re.compile(r"settings\.MEDBLOCKS_CONNECT|settings, \"MEDBLOCKS_CONNECT\"")
    readers = {_name(path) for path in MODULES if reading.search(path.read_text(encoding="utf-8"))}
    assert readers == {"medblocks_connect.conf", "medblocks_connect.checks"}


def test_cache_is_used_through_one_door():
    users = {_name(path) for path in MODULES if "django.core.cache.cache" in _imports(path)}
    assert users == {"medblocks_connect.cache"}
