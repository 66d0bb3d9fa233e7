"""Spanish is complete: every text has its words, and what is installed is what was written."""

from __future__ import annotations

import gettext
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.utils import translation

import medblocks_connect

PACKAGE = Path(medblocks_connect.__file__).parent
SPANISH = Path("locale", "es", "LC_MESSAGES")

needs_gettext = pytest.mark.skipif(
    shutil.which("msgfmt") is None, reason="GNU gettext is not on this machine"
)


def compile_catalog(source: Path, target: Path) -> dict:
    subprocess.run(["msgfmt", "--check-format", "-o", target, source], check=True)
    return read_catalog(target)


def read_catalog(file: Path) -> dict:
    with file.open("rb") as opened:
        return gettext.GNUTranslations(opened)._catalog


@needs_gettext
def test_installed_catalog_is_the_written_one(tmp_path):
    written = compile_catalog(PACKAGE / SPANISH / "django.po", tmp_path / "django.mo")
    installed = read_catalog(PACKAGE / SPANISH / "django.mo")
    assert written == installed


@needs_gettext
def test_no_text_is_without_its_spanish(tmp_path):
    """Gathers the texts anew, as makemessages does, in a copy of the package."""
    copy = tmp_path / "medblocks_connect"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("sandbox", "__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "django", "makemessages", "-l", "es", "--no-obsolete"],
        cwd=copy,
        env={name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")},
        check=True,
        capture_output=True,
    )
    for kind in ("--untranslated", "--only-fuzzy"):
        command = ["msgattrib", kind, "--no-obsolete", copy / SPANISH / "django.po"]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert re.findall(r'^msgid "(.+)', found, re.MULTILINE) == []


@pytest.mark.django_db
def test_page_is_in_spanish(browser):
    with translation.override("es"):
        page = browser.get("/records/search/").text
    assert "Busque su hospital o clínica" in page


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "code"), [("es", "es"), ("es-mx", "es"), ("de", "en"), ("ar", "en")]
)
def test_page_says_which_language_its_texts_are_in(browser, make, language, code):
    with translation.override(language):
        page = browser.get(make().get_absolute_url()).text
    assert re.search(rf'class="medblocks" lang="{code}" dir="ltr"', page)


@pytest.mark.django_db
def test_facility_name_is_not_translated(browser, make):
    with translation.override("es"):
        page = browser.get(make(connection_name="Search").get_absolute_url()).text
    assert "<bdi>Search</bdi>" in page
