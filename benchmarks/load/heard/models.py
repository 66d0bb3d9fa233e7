"""What the host heard."""

from __future__ import annotations

from django.db import models


class HeardSignal(models.Model):
    """One call of a receiver: the signal's name and the public id of its attempt."""

    name = models.CharField(max_length=50)
    attempt = models.CharField(max_length=32, db_index=True)

    def __str__(self) -> str:
        return f"{self.name} {self.attempt}"
