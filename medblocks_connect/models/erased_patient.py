"""Erased patients: tombstones, which keep whoever was erased from coming back, and name nobody."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from medblocks_connect.models.fields import IdentifierField
from medblocks_connect.models.workspace import make_workspace_field

SIGNATURE_LENGTH = 64  # of an HMAC-SHA256 in hexadecimal


class ErasedPatient(models.Model):
    """A patient who was erased in one workspace, by an HMAC of their id.

    What was told until ``erased_at`` is erased, and is not taken again.
    """

    # The key is the HMAC: copied beside a backup and loaded again, it meets no other row.
    signature = models.CharField(max_length=SIGNATURE_LENGTH, primary_key=True, editable=False)
    workspace = make_workspace_field()
    # Kept no longer than the erasure takes: it has to be asked for at Medblocks again by this.
    unfinished_patient_id = IdentifierField(max_length=200, blank=True, default="", editable=False)
    erased_at = models.DateTimeField(_("erased"), default=timezone.now)
    deleted_at = models.DateTimeField(_("deleted at Medblocks"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("erased patient")
        verbose_name_plural = _("erased patients")
        ordering = ["-erased_at"]
        default_permissions = ()  # nobody looks at them
        permissions = [("erase_patient", _("Can erase a patient"))]

    def __str__(self) -> str:
        return self.pseudonym

    @property
    def pseudonym(self) -> str:
        """The text that stands in the log in place of the patient's id."""
        return f"erased:{self.signature}"


class ErasedIdentifier(models.Model):
    """A session or a connection of an erased patient, by an HMAC of Medblocks' id of it.

    An event may name that alone, and no patient.
    """

    signature = models.CharField(max_length=SIGNATURE_LENGTH, primary_key=True, editable=False)
    patient = models.ForeignKey(ErasedPatient, on_delete=models.CASCADE, related_name="identifiers")

    class Meta:
        verbose_name = _("identifier of an erased patient")
        verbose_name_plural = _("identifiers of erased patients")
        ordering = ["signature"]
        default_permissions = ()

    def __str__(self) -> str:
        return self.signature
