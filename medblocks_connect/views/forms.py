"""Forms: the facility that a patient chose, or the one that they miss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from medblocks_connect.facilities.lookup import is_acceptable_id
from medblocks_connect.facilities.matching.normalization import fold
from medblocks_connect.facilities.missing_facilities import NOTE_MAX_LENGTH, TEXT_MAX_LENGTH


class StartForm(forms.Form):
    """The facility that a patient chose, and whether they said yes to where it leads."""

    connection_id = forms.CharField(strip=False)
    confirmed = forms.CharField(required=False)

    def __init__(self, data: Mapping[str, Any], *, patient_id: str) -> None:
        super().__init__(data)
        self._patient_id = patient_id

    def clean_connection_id(self) -> str:
        """Refuse what cannot be a facility's id, before Medblocks is asked."""
        connection_id: str = self.cleaned_data["connection_id"]
        # U+FFFD is what Django makes of bytes that are no UTF-8: nobody's id.
        is_text = "\ufffd" not in connection_id
        if not (is_text and is_acceptable_id(connection_id, patient_id=self._patient_id)):
            raise ValidationError(_("Please choose a hospital or clinic from the list."))
        return connection_id


class _TypedTextField(forms.CharField):
    """Text as the browser counted it: a line break is one letter, and NUL none."""

    def to_python(self, value: object) -> str:
        # HTML's form submission makes CRLF of each line break, after "maxlength" counted one.
        text = super().to_python(value) or ""
        return text.replace("\r\n", "\n").replace("\x00", "").strip()


_NAME_REQUIRED: Final = _("Please type the name of the hospital or clinic.")


class MissingFacilityForm(forms.Form):
    """The name of a place that a patient did not find, and what they add to it."""

    text = _TypedTextField(
        max_length=TEXT_MAX_LENGTH,
        error_messages={
            "required": _NAME_REQUIRED,
            "max_length": _("This name is too long. Please use at most %(limit_value)d letters."),
        },
    )
    note = _TypedTextField(
        required=False,
        max_length=NOTE_MAX_LENGTH,
        error_messages={
            "max_length": _("This note is too long. Please use at most %(limit_value)d letters.")
        },
    )

    def clean_text(self) -> str:
        """Refuse what holds no letter and no digit."""
        text: str = self.cleaned_data["text"]
        if not fold(text):
            raise ValidationError(_NAME_REQUIRED)
        return text
