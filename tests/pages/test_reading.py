"""A 6th grader can read what patients are told (Flesch-Kincaid grade, as textstat counts it)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import textstat

import medblocks_connect
from medblocks_connect import messages

HIGHEST_GRADE = 6
FEWEST_WORDS = 10  # a grade of less text says nothing
TEMPLATES = Path(medblocks_connect.__file__).parent / "templates" / "medblocks_connect"
TRANSLATED = re.compile(
    r'\{% translate "(?P<one>[^"]+)"|\{% blocktranslate[^%]*%\}(?P<block>.*?)\{% endblocktranslate',
    re.DOTALL,
)
CODES = ["brand_new_code", *messages._MESSAGES]


def read_texts(template: Path) -> str:
    found = TRANSLATED.finditer(template.read_text(encoding="utf-8"))
    texts = [each["one"] or each["block"] for each in found]
    plain = [re.sub(r"\{\{.*?\}\}|\{%.*?%\}|<.*?>", "", text).strip() for text in texts]
    return " ".join(text if text.endswith((".", "?")) else f"{text}." for text in plain)


LONG_ENOUGH = {
    str(each.relative_to(TEMPLATES)): text
    for each in sorted(TEMPLATES.rglob("*.html"))
    if len((text := read_texts(each)).split()) >= FEWEST_WORDS
}


@pytest.mark.parametrize("at_start", [False, True], ids=["later", "at-start"])
@pytest.mark.parametrize("code", CODES)
def test_message_is_easy_to_read(code, at_start):
    message = messages.describe_error(code, at_start=at_start)
    told = f"{message.title}. {message.what_happened} {message.what_to_do}"
    assert textstat.flesch_kincaid_grade(told) <= HIGHEST_GRADE


@pytest.mark.parametrize("text", LONG_ENOUGH.values(), ids=LONG_ENOUGH)
def test_template_is_easy_to_read(text):
    assert textstat.flesch_kincaid_grade(text) <= HIGHEST_GRADE


def test_templates_are_really_read():
    assert (
        "Find the hospital or clinic where you were treated."
        in LONG_ENOUGH["elements/journey.html"]
    )


def test_hard_text_is_found():
    hard = "Authorization of interoperability necessitates organizational verification procedures."
    assert textstat.flesch_kincaid_grade(hard) > HIGHEST_GRADE
