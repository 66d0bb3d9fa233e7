"""Receivers of our signals: they run in the schema of the clinic that the attempt is of."""

from django.dispatch import receiver

from letters.models import Letter
from medblocks_connect.signals import attempt_succeeded


@receiver(attempt_succeeded)
def write_letter(sender, attempt, **kwargs):
    Letter.objects.create(patient_id=attempt.patient_id, facility=attempt.facility)
