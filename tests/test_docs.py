"""The README and docs, held against the code: names, defaults, commands, files."""

from __future__ import annotations

import ast
import re
import struct
import zlib
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.dispatch import Signal

from docs.small_png import SIGNATURE, reduce_colours
from medblocks_connect import checks, signals, urls
from medblocks_connect.conf import DEFAULTS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHECKS = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the table whose first heading begins so, cells without their backticks."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {heading}"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = re.split(r"(?<!\\)\|", line.strip("|"))
        rows.append([cell.strip().strip("`") for cell in cells])
    return rows


def test_docs_table_of_settings_has_every_key():
    assert {row[0] for row in table(README, "Key")} == set(DEFAULTS)


@pytest.mark.parametrize("key", DEFAULTS)
def test_docs_default_is_the_settings(key):
    written = {row[0]: row[1] for row in table(README, "Key")}
    assert ast.literal_eval(written[key]) == DEFAULTS[key]


def test_docs_table_of_urls_has_every_name():
    named = {pattern.name for pattern in urls.urlpatterns if pattern.name}
    assert {row[0] for row in table(README, "URL name")} == named


def test_docs_table_of_signals_has_every_signal():
    sent = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert {row[0] for row in table(README, "Signal")} == sent


def test_docs_table_of_commands_has_every_command():
    ours = {name for name, app in get_commands().items() if app == "medblocks_connect"}
    assert {row[0] for row in table(README, "Command")} == ours


def test_docs_table_of_statuses_has_every_status():
    from medblocks_connect.models import PatientConnectionAttempt

    statuses = set(PatientConnectionAttempt.Status.values)
    assert {row[0] for row in table(README, "Status")} == statuses


def test_docs_table_of_checks_has_every_check():
    modules = Path(checks.__file__).parent.glob("*.py")
    source = "".join(module.read_text(encoding="utf-8") for module in modules)
    numbers = set(re.findall(r'[."]([EW]\d{3})"', source))
    assert numbers
    assert {row[0] for row in table(CHECKS, "Id")} == {f"medblocks_connect.{n}" for n in numbers}


def test_docs_blocks_are_those_of_the_frame():
    templates = Path(urls.__file__).parent / "templates" / "medblocks_connect"
    frame = (templates / "frame.html").read_text(encoding="utf-8")
    blocks = set(re.findall(r"{% block (\w+) %}", frame))
    assert {row[0] for row in table(README, "Block")} == blocks


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_make_target_is_in_the_makefile(page):
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


def test_docs_architecture_names_every_module_and_no_other():
    package = Path(urls.__file__).parent
    rows = re.findall(r"^\| (.+?) \|", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w/]+\.py)`", row)}
    modules = {path.relative_to(package) for path in package.rglob("*.py")}
    told_elsewhere = {"migrations", "sandbox", "__init__.py"}
    assert named == {
        module.as_posix() for module in modules if not told_elsewhere & set(module.parts)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    files = [link for link in links if not link.startswith("https://")]
    assert [link for link in files if not (page.parent / link).exists()] == []


def read_blocks() -> list[tuple[str, list[str]]]:
    """The Python of docs/tenants.md: the file that each block's first line names, and its lines."""
    text = (ROOT / "docs" / "tenants.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == text.count("```python")
    return [(name, block.splitlines()) for name, block in blocks]


BLOCKS = read_blocks()


@pytest.mark.parametrize(("name", "lines"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_docs_code_for_tenants_is_that_of_the_tested_sites(name, lines):
    (path,) = (ROOT / "tests" / "hosts").glob(f"*/{name}")
    code = [line.partition("  # noqa")[0] for line in path.read_text(encoding="utf-8").splitlines()]
    place = 0
    for line in filter(is_code, lines):
        assert line in code[place:], f"{path} has not, or in another order: {line}"
        place = code.index(line, place) + 1


def is_code(line: str) -> bool:
    return bool(line) and not line.lstrip().startswith("#")


def test_docs_pictures_are_small():
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert [each.name for each in pictures if each.stat().st_size > 100_000] == []


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def draw(rows: list[bytes], kind: int = 2) -> bytes:
    """A picture two pixels wide; each row begins with its filter."""
    header = struct.pack(">IIBBBBB", 2, len(rows), 8, kind, 0, 0, 0)
    content = zlib.compress(b"".join(rows))
    return b"".join(
        [SIGNATURE, chunk(b"IHDR", header), chunk(b"IDAT", content), chunk(b"IEND", b"")]
    )


def test_docs_small_png_undoes_every_filter():
    red, blue = b"\xff\0\0", b"\0\0\xff"
    plain = b"\0" + red + blue
    same_as_left = b"\x01" + red + b"\x01\0\xff"  # blue less red, in each byte
    same_as_above = b"\x02" + bytes(6)
    averaged = b"\x03\x80\0\0" + b"\x81\0\x80"  # less half of what is left and above
    nearest_neighbour = b"\x04" + bytes(6)  # less the one of the three that fits best
    small = reduce_colours(draw([plain, same_as_left, same_as_above, averaged, nearest_neighbour]))
    assert small[25] == 3  # the colour type: a palette
    palette = small[small.index(b"PLTE") + 4 :][:6]
    assert {palette[:3], palette[3:]} == {red, blue}
    at = small.index(b"IDAT")
    (length,) = struct.unpack(">I", small[at - 4 : at])
    drawn = zlib.decompress(small[at + 4 : at + 4 + length])
    assert drawn == drawn[:3] * 5
    assert {drawn[1], drawn[2]} == {0, 1}


def test_docs_small_png_refuses_transparency():
    with pytest.raises(ValueError, match="without transparency"):
        reduce_colours(draw([b"\0" + bytes(8)], kind=6))
