"""Telling that a hospital is missing: what is refused, and how the patient learns why."""

from __future__ import annotations

import re

import pytest
from django.utils import translation

from medblocks_connect.facilities import missing_facilities
from medblocks_connect.models import FacilityRequest, MissingFacility

pytestmark = pytest.mark.django_db

NAME_IT = "Please type the name of the hospital or clinic."


@pytest.fixture
def tell(patient_client, settings):
    """Send the form, with a note where the host wants one."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "REQUEST_NOTES": True}
    patient_client.cookies["csrftoken"] = "t" * 32

    def send(**fields):
        fields["csrfmiddlewaretoken"] = "t" * 32
        return patient_client.post("/records/not-found/", fields)

    return send


def field(response, name):
    return re.search(rf'<(?:input|textarea)[^>]* name="{name}"[^>]*>', response.text)[0]


@pytest.mark.parametrize("text", ["", "   ", "...", "\0"])
def test_name_is_asked_for_where_there_is_none(tell, text):
    response = tell(text=text)
    assert response.status_code == 400
    assert response.text.count(NAME_IT) == 2  # in the summary, and at the field
    assert not MissingFacility.objects.exists()


def test_name_that_is_too_long_is_called_so(tell):
    response = tell(text="x" * 101)
    assert response.status_code == 400
    assert "This name is too long. Please use at most 100 letters." in response.text
    assert NAME_IT not in response.text


def test_note_that_is_too_long_is_called_so_at_the_note(tell):
    response = tell(text="St. Elsewhere", note="x" * 1001)
    assert response.status_code == 400
    assert "This note is too long. Please use at most 1000 letters." in response.text
    assert "aria-invalid" not in field(response, "text")
    assert 'aria-invalid="true"' in field(response, "note")
    assert "medblocks-missing-note-error" in field(response, "note")


def test_note_of_many_lines_is_as_long_as_the_browser_counted_it(tell):
    note = "\r\n".join(["x" * 98] * 10) + "y" * 11
    assert len(note.replace("\r\n", "\n")) == 1000
    assert tell(text="St. Elsewhere", note=note).status_code == 303
    assert FacilityRequest.objects.get().note.endswith("y" * 11)


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "Our list of missing places is full right now."),
        ("es", "Nuestra lista de lugares que faltan está llena en este momento."),
    ],
)
def test_name_beyond_the_limit_is_not_thanked_for(tell, monkeypatch, caplog, language, told):
    monkeypatch.setattr(missing_facilities, "_MOST_KEPT", 0)
    with translation.override(language):
        response = tell(text="Saint Nowhere")
    assert response.status_code == 503
    assert told in response.text
    assert MissingFacility.objects.get().requests == 1
    assert "only counted" in caplog.text
    assert "Nowhere" not in caplog.text


def test_problem_is_told_first_and_leads_to_the_field(tell):
    page = tell(text="").text
    assert "<title>Error: Tell us which hospital is missing</title>" in page
    summary = page.index("There is a problem")
    assert summary < page.index("<h1")
    assert 'tabindex="-1" autofocus' in page[:summary]
    target = re.search(r'<a href="#([^"]+)">Please', page)[1]
    assert f'id="{target}"' in page


def test_what_was_typed_stays(tell):
    page = tell(text="...", note="east <b>").text
    assert 'value="..."' in page
    assert "east &lt;b&gt;</textarea>" in page


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_scripts", [True, False])
def test_problem_takes_the_focus(chromium, site, has_scripts):
    context = chromium.new_context(base_url=site.url, java_script_enabled=has_scripts)
    session_id = site.browser.cookies["sessionid"]
    context.add_cookies([{"name": "sessionid", "value": session_id, "url": site.url}])
    page = context.new_page()
    page.goto("/records/search/?q=qqqqqq")
    page.get_by_label("Name of the missing hospital or clinic").fill("...")
    page.get_by_role("button", name="Tell us").click()
    focused = page.locator(":focus")
    focused.get_by_role("heading", name="There is a problem").wait_for()
    focused.get_by_role("link", name=NAME_IT).click()
    assert page.locator(":focus").get_attribute("name") == "text"
    context.close()
