"""The clinic speaks the language of its visitors: English or Spanish."""

from __future__ import annotations

import gettext
import re

from tests.example.demo import ROOT

CLINIC = ROOT / "example_project" / "riverbend"
SPANISH = CLINIC / "locale" / "es" / "LC_MESSAGES"


def test_every_text_has_spanish():
    templates = (CLINIC / "templates" / "riverbend").glob("*.html")
    texts = {
        text
        for template in templates
        for text in re.findall(r'{% translate "([^"]+)" %}', template.read_text(encoding="utf-8"))
    }
    with (SPANISH / "django.mo").open("rb") as opened:
        installed = gettext.GNUTranslations(opened)._catalog
    assert texts
    assert set(installed) - {""} == texts
    written = (SPANISH / "django.po").read_text(encoding="utf-8")
    translations = re.findall(r'^msgstr "(.+)"$', written, re.MULTILINE)
    assert set(translations) == {text for key, text in installed.items() if key}
