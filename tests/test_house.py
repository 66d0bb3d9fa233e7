"""The house's rules: which modules there are, and that arrows between them point one way."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import medblocks_connect

PACKAGE = Path(medblocks_connect.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

ROOT_MODULES = {
    "__init__": "the version",
    "apps": "Django's",
    "conf": "the settings",
    "signals": "Django's: what a host can listen to",
    "urls": "Django's: what a host includes",
    "patients": "public: who is the patient of a request",
    "medblocks_client": "which client the app talks with",
    "error_messages": "what an error code means",
    "layout": "the frame around our pages",
    "error_reports": "no patient data in error reports",
    "url_safety": "which URLs a browser may be sent to or shown",
    "cache": "Django's cache: every key, and its errors as misses",
    "timezones": "aware and stored times",
    "erasure": "public: a patient is deleted at Medblocks and here",
    "operations": "public: what the commands do, as functions",
}
"""Every module in the package's root, with its reason. ``testing``, ``celery_tasks``
and ``webhook_urls`` will come; nothing else."""

DJANGOS_OWN = {"__init__", "apps", "checks", "conf", "models", "urls", "signals"}
"""Names that every Django app has."""

# The rooms from the lowest floor up: a room uses those below it, and of its own floor itself alone.
FLOORS: tuple[dict[str, tuple[str, ...]], ...] = (
    {"api": ("api",), "matching": ("facilities.matching",)},
    {
        name: (name,)
        for name in (
            "conf",
            "signals",
            "error_messages",
            "error_reports",
            "timezones",
            "url_safety",
        )
    },
    {
        "layout": ("layout",),
        "medblocks_client": ("medblocks_client",),
        "patients": ("patients",),
        "models": ("models",),
    },
    {"cache": ("cache",)},
    {"facilities": ("facilities",)},
    {"attempts": ("attempts",)},
    {
        "patient_connections": ("patient_connections",),
        "webhook_endpoint": ("webhook_endpoint",),
    },
    {"erasure": ("erasure",)},
    {"operations": ("operations",)},
    {
        "views": ("views",),
        "admin": ("admin",),
        "management": ("management",),
        "checks": ("checks",),
        "templatetags": ("templatetags",),
    },
    {"urls": ("urls",), "apps": ("apps",)},
)
# What stands beside the floors: generated, or a thing of its own.
BESIDE = ("migrations", "sandbox")


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


def _is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _imported_from(names: set[str], package: str) -> set[str]:
    return {name for name in names if _is_below(name, package)}


def _find_room(name: str) -> tuple[int, str]:
    """Return the floor and the room of a module of ours, the narrower room where two would do."""
    inside = name.removeprefix("medblocks_connect.")
    found = [
        (max(map(len, parts)), floor, room)
        for floor, rooms in enumerate(FLOORS)
        for room, parts in rooms.items()
        if any(_is_below(inside, part) for part in parts)
    ]
    assert found, f"{name} stands on no floor: name its room here, and in docs/architecture.md"
    _length, floor, room = max(found)
    return floor, room


INHABITED = [
    path for path in MODULES if not set(path.relative_to(PACKAGE).parts) & {*BESIDE, "__init__.py"}
]


@pytest.mark.parametrize("path", INHABITED, ids=_name)
def test_module_imports_lower_floors_and_its_own_room_alone(path):
    floor, room = _find_room(_name(path))
    for imported in _imported_from(_imports(path), "medblocks_connect"):
        if imported in {"medblocks_connect.__version__", "medblocks_connect.checks"}:
            continue  # the latter by apps alone, which Django asks to
        other_floor, other_room = _find_room(
            imported.replace("medblocks_connect.signals", "signals")
        )
        assert other_floor < floor or other_room == room, f"{_name(path)} imports {imported}"


@pytest.mark.parametrize("path", INHABITED, ids=_name)
def test_views_are_imported_by_urls_alone(path):
    is_allowed = _find_room(_name(path))[1] in {"views", "urls"}
    assert is_allowed or not _imported_from(_imports(path), "medblocks_connect.views")


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("api", "django"),
        ("facilities/matching", "django"),
        ("attempts", "django.http"),
        ("facilities", "django.http"),
        ("models", "django.http"),
    ],
)
def test_folder_imports_none_of_what_it_must_not_know(folder, forbidden):
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        assert not _imported_from(_imports(path), forbidden), path


def test_sandbox_meets_the_app_over_http_alone():
    for path in sorted((PACKAGE / "sandbox").rglob("*.py")):
        ours = _imported_from(_imports(path), "medblocks_connect")
        own = _imported_from(ours, "medblocks_connect.sandbox")
        assert ours - own <= _imported_from(ours, "medblocks_connect.api.webhook_signatures"), path
    for path in INHABITED:
        assert not _imported_from(_imports(path), "medblocks_connect.sandbox"), path


def test_root_has_the_modules_that_are_named_here_and_no_others():
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(ROOT_MODULES)


def test_no_two_modules_bear_the_same_name():
    names = Counter(
        path.parent.name if path.name == "__init__.py" else path.stem
        for path in MODULES
        if not {"migrations", "management", "templatetags"} & set(path.relative_to(PACKAGE).parts)
    )
    assert {name for name, count in names.items() if count > 1} <= DJANGOS_OWN


@pytest.mark.parametrize(
    "path", [path for path in MODULES if "migrations" not in path.parts], ids=_name
)
def test_module_states_its_decision(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    first = docstring.split()[0]
    asking = {"What", "How", "Which", "Who", "Where", "When", "Why", "That", "Whether"}
    assert first not in asking, f"{_name(path)}: {docstring.splitlines()[0]}"


def test_settings_are_read_in_one_place():
    reading = re.compile(r"settings\.MEDBLOCKS_CONNECT|settings, \"MEDBLOCKS_CONNECT\"")
    readers = {_name(path) for path in MODULES if reading.search(path.read_text(encoding="utf-8"))}
    assert readers == {"medblocks_connect.conf"}


def test_cache_is_used_through_one_door():
    users = {_name(path) for path in MODULES if "django.core.cache.cache" in _imports(path)}
    assert users == {"medblocks_connect.cache"}
