"""A host that subclasses a view of ours and routes to it."""

from __future__ import annotations

from typing import ClassVar

from django.http import HttpResponse
from django.urls import path

from medblocks_connect.patients import Patient
from medblocks_connect.views.base import PatientView


class GuardedView(PatientView):
    """A host's view with every guard's answer of its own, noting who is asked."""

    throttled_action = "start"
    asked: ClassVar[list[str]] = []

    def get_patient(self):
        self.asked.append("patient")
        return None if "nobody" in self.request.GET else Patient("p-1")

    def get_throttled_action(self):
        self.asked.append("throttle")
        return super().get_throttled_action()

    def patient_required(self):
        return HttpResponse("the host's own login", status=401)

    def csrf_failed(self):
        return HttpResponse("the host's own refusal", status=403)

    def list_named_patients(self):
        self.asked.append("form")
        return super().list_named_patients()

    def patient_changed(self):
        return HttpResponse("the host's own surprise", status=409)

    def throttled(self, seconds):
        return HttpResponse("the host's own patience", status=429)

    def unreadable(self, status):
        return HttpResponse("the host's own helplessness", status=status)

    def post(self, request):
        self.asked.append("handler")
        return HttpResponse(request.POST.get("text", ""))


urlpatterns = [path("own/", GuardedView.as_view())]
