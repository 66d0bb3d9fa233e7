"""What holds for every view of ours, whatever the host's middleware: who decides, what is kept.

The patient resolver decides who is there, so the host's login middleware does not. A row that
was written must outlive an error, so no view runs inside ``ATOMIC_REQUESTS``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeAlias

from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_cache_control

View: TypeAlias = Callable[..., HttpResponseBase]

_PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


def stand_alone(view: View) -> View:
    """Exempt ``view`` from the host's login middleware and from every database's transaction."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    exempt: View = login_not_required(view)
    return exempt


def keep_private(view: View) -> View:
    """Let no cache keep the answers of ``view`` and no link tell where the patient was.

    RFC 9111, section 5.2.2.5 (``no-store``); W3C Referrer Policy (``no-referrer``).
    """

    @wraps(view)
    def private_view(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        patch_cache_control(response, no_store=True, private=True)
        response["Referrer-Policy"] = "no-referrer"
        return response

    return private_view


def is_only_looking(request: HttpRequest) -> bool:
    """Whether nobody is there to read the answer: a HEAD request or a browser's prefetch."""
    if request.method == "HEAD":
        return True
    announced = " ".join(request.headers.get(name, "") for name in _PREFETCH_HEADERS).lower()
    return "prefetch" in announced or "preview" in announced
