"""The letters of a clinic: rows of its own schema."""

from django.db import models


class Letter(models.Model):
    patient_id = models.CharField(max_length=200)
    facility = models.CharField(max_length=200)

    def __str__(self):
        return self.facility
