"""Counts of what patients do, for the throttles that must hold."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ActionCount(models.Model):
    """The number of times that one patient did one thing in a window of time.

    The key names both, and the workspace, as a hash. There is one row for each, however many
    windows pass.
    """

    key = models.CharField(max_length=100, unique=True, editable=False)
    count = models.PositiveIntegerField(default=0, editable=False)
    ends_at = models.DateTimeField(editable=False)  # the window does

    class Meta:
        verbose_name = _("count of a patient's action")
        verbose_name_plural = _("counts of patients' actions")
        ordering = ["id"]
        default_permissions = ()  # nobody looks at them

    def __str__(self) -> str:
        return str(self.count)
