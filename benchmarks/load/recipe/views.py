"""The guide's steps: search, start, return, webhook. Each asks Medblocks where it needs to know."""

from __future__ import annotations

import hashlib
import hmac
import json
import os

import requests
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from benchmarks.load.medblocks import SECRET
from benchmarks.load.site import PATIENT_HEADER

HEADERS = {"Authorization": "Bearer mb_sk_sbx_load_test", "Version": "2026-04-25"}
TIMEOUT = 10


def build_url(path: str) -> str:
    return os.environ["LOAD_MEDBLOCKS"] + path


@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """Ask Medblocks for what was typed."""
    text = request.GET.get("q", "").strip()
    facilities = []
    if len(text) >= 2:
        asked = requests.get(
            build_url("/connections"),
            params={"q": text, "limit": "20"},
            headers=HEADERS,
            timeout=TIMEOUT,
        )
        asked.raise_for_status()
        facilities = asked.json()["data"]
    is_typing = "X-Medblocks-Fragment" in request.headers
    page = "recipe/results.html" if is_typing else "recipe/search.html"
    return render(request, page, {"facilities": facilities, "q": text})


@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Open a session and send the patient to its portal."""
    asked = requests.post(
        build_url("/patient-sessions"),
        json={
            "patient_id": request.headers[PATIENT_HEADER],
            "connection_id": request.POST["connection_id"],
            "return_url": request.build_absolute_uri(reverse("return")),
        },
        headers=HEADERS,
        timeout=TIMEOUT,
    )
    asked.raise_for_status()
    response = HttpResponseRedirect(asked.json()["url"])
    response.status_code = 303
    return response


@require_GET
def come_back(request: HttpRequest) -> HttpResponse:
    """Verify the session, and tell the patient."""
    session_id = request.GET["patient_session_id"]
    asked = requests.get(
        build_url(f"/patient-sessions/{session_id}"), headers=HEADERS, timeout=TIMEOUT
    )
    asked.raise_for_status()
    statuses = [connection["status"] for connection in asked.json()["connections"]]
    context = {"is_connected": "active" in statuses, "error": request.GET.get("error", "")}
    return render(request, "recipe/outcome.html", context)


@csrf_exempt
@require_POST
def receive_webhook(request: HttpRequest) -> HttpResponse:
    """Verify the signature; there is nothing to write to."""
    told = dict(part.split("=", 1) for part in request.headers["Medblocks-Signature"].split(","))
    signed = told["t"].encode() + b"." + request.body
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(digest, told["v1"]):
        return HttpResponse(status=400)
    return HttpResponse(json.loads(request.body)["type"])
