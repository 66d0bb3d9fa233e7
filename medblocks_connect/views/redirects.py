"""How a browser is sent on: by 303, so that a reload repeats no POST, and without showing where."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpResponseRedirect


class SeeOther(HttpResponseRedirect):
    """A redirect that is always followed by GET (RFC 9110, section 15.4.4).

    Its ``repr`` names no address: a session's ``url`` is a secret.
    """

    status_code = HTTPStatus.SEE_OTHER

    def __repr__(self) -> str:
        return f"<{type(self).__name__} status_code={self.status_code:d}>"
