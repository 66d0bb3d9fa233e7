"""The attempt's row."""

from __future__ import annotations

from django.contrib.auth import get_user_model

from medblocks_connect.models import PatientConnectionAttempt


def test_attempt_model_has_no_key_to_the_user(db):
    assert not [
        field
        for field in PatientConnectionAttempt._meta.get_fields()
        if field.related_model is get_user_model()
    ]
