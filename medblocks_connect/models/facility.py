"""The catalog as it is remembered: its facilities, its syncs, and searches without a result."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from medblocks_connect.models.fields import IdentifierField
from medblocks_connect.models.workspace import make_workspace_field

FOLDED_MAX_LENGTH = 200


class Facility(models.Model):
    """One facility of Medblocks' catalog, as the last complete sync left it."""

    workspace = make_workspace_field()
    connection_id = IdentifierField(_("facility id"), max_length=500)
    name = models.CharField(_("name"), max_length=255, blank=True, default="")
    type = models.CharField(_("record system"), max_length=50, blank=True, default="")
    fhir_base_url = models.TextField(_("FHIR base URL"), blank=True, default="")
    logo_url = models.TextField(_("logo"), blank=True, default="")
    portal_url = models.TextField(_("portal"), blank=True, default="")
    added_at = models.DateTimeField(_("first seen"), default=timezone.now)
    changed_at = models.DateTimeField(_("last changed"), default=timezone.now)
    withdrawn_at = models.DateTimeField(
        _("withdrawn"),
        null=True,
        blank=True,
        help_text=_("Medblocks no longer lists it: patients do not find it."),
    )

    class Meta:
        verbose_name = _("facility")
        verbose_name_plural = _("facilities")
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection_id", "workspace"], name="medblocks_facility_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.connection_id


class CatalogSync(models.Model):
    """One run of ``medblocks_sync_facilities``. The latest finished one is the catalog's version.

    A run that was cut short keeps its pages and goes on from its cursor.
    """

    workspace = make_workspace_field()
    base_url = models.TextField(_("Medblocks"), help_text=_("Whose catalog it is."))
    cursor = models.TextField(blank=True, default="", editable=False)
    fetched = models.PositiveIntegerField(_("facilities fetched"), default=0)
    added = models.PositiveIntegerField(_("new"), default=0)
    changed = models.PositiveIntegerField(_("changed"), default=0)
    withdrawn = models.PositiveIntegerField(_("withdrawn"), default=0)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    heard_at = models.DateTimeField(
        _("last page"),
        null=True,
        blank=True,
        default=timezone.now,
        help_text=_("Empty where nobody is working on it."),
    )
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True, db_index=True)

    class Meta:
        verbose_name = _("catalog sync")
        verbose_name_plural = _("catalog syncs")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M}"


class CatalogPage(models.Model):
    """One page of a sync that is under way; gone once the sync is finished."""

    sync = models.ForeignKey(CatalogSync, on_delete=models.CASCADE, related_name="pages")
    number = models.PositiveIntegerField()
    facilities = models.TextField(editable=False, help_text=_("The page's facilities, in JSON."))

    class Meta:
        verbose_name = _("catalog page")
        verbose_name_plural = _("catalog pages")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["sync", "number"], name="medblocks_page_once"),
        ]

    def __str__(self) -> str:
        return str(self.number)


class MissingFacility(models.Model):
    """A text that patients searched for in vain, counted; it says nothing of who they are.

    One row of a workspace has no text: it counts all that came once the table was full.
    """

    workspace = make_workspace_field()
    text = models.CharField(_("looked for"), max_length=100)
    folded = IdentifierField(max_length=FOLDED_MAX_LENGTH, editable=False)
    searches = models.PositiveIntegerField(
        _("searches"), default=0, help_text=_("How often it was searched for and nothing found.")
    )
    requests = models.PositiveIntegerField(
        _("requests"), default=0, help_text=_("How often a patient told us that it is missing.")
    )
    first_at = models.DateTimeField(_("first"), default=timezone.now)
    last_at = models.DateTimeField(_("last"), default=timezone.now)

    class Meta:
        verbose_name = _("missing facility")
        verbose_name_plural = _("missing facilities")
        ordering = ["-requests", "-searches", "-last_at"]
        constraints = [
            models.UniqueConstraint(fields=["folded", "workspace"], name="medblocks_missing_once"),
        ]

    def __str__(self) -> str:
        return self.text or gettext("(further names, once the list was full)")

    @property
    def is_beyond_limit(self) -> bool:
        """Return whether this is the row without a text."""
        return not self.folded


class FacilityRequest(models.Model):
    """One patient's note about a missing facility: kept where the host asks for more."""

    missing = models.ForeignKey(
        MissingFacility, on_delete=models.CASCADE, related_name="notes", verbose_name=_("facility")
    )
    note = models.TextField(_("note"), blank=True, default="")
    patient_id = IdentifierField(
        _("patient"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("Only where REQUESTS_NAME_PATIENT is on."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        verbose_name = _("facility request")
        verbose_name_plural = _("facility requests")
        ordering = ["-id"]

    def __str__(self) -> str:
        return str(self.missing)
