"""The export of the filtered list of attempts as a CSV file, a little at a time.

Read in pages that begin where the last one ended, not with a cursor: memory stays flat on every
database, and no transaction stays open while somebody's slow line takes the file.
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Q, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from medblocks_connect.admin.audit_log import log_export
from medblocks_connect.admin.formatting import WHOLE, time_taken
from medblocks_connect.admin.read_only import VIEW_PERMISSION, require_permissions
from medblocks_connect.error_messages import describe_error
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.models.attempt import choose_shown_status, was_never_led_away

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

EXPORT_PERMISSION: Final = "medblocks_connect.export_patientconnectionattempt"

_PAGE_SIZE: Final = 500
# What makes a spreadsheet read a cell as a formula, also full-width (OWASP, "CSV Injection").
_FORMULA: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def export_attempts(
    request: HttpRequest, attempts: QuerySet[PatientConnectionAttempt]
) -> StreamingHttpResponse:
    """Return ``attempts`` as a CSV file that is written while it is read, and log who took it.

    Raises ``PermissionDenied`` without the permission to export.
    """
    require_permissions(request, VIEW_PERMISSION, EXPORT_PERMISSION)
    log_export(request)
    parts = write_csv(attempts)
    response = StreamingHttpResponse(
        # Under ASGI, Django would gather all parts of a plain iterator before the first is sent.
        _iterate_async(parts) if isinstance(request, ASGIRequest) else parts,
        content_type="text/csv; charset=utf-8",
    )
    name = f"connection-attempts-{timezone.now():%Y-%m-%d}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def write_csv(attempts: QuerySet[PatientConnectionAttempt]) -> Iterator[str]:
    """Yield the file in parts: a heading, then the rows of ``attempts``, newest first."""
    writer = csv.writer(_Echo())
    # The mark at the beginning tells spreadsheets that it is UTF-8.
    yield "\ufeff" + writer.writerow([str(heading) for heading, _format in _COLUMNS])
    for rows in _read_pages(attempts):
        yield "".join(writer.writerow(_format_row(row)) for row in rows)


async def _iterate_async(parts: Iterator[str]) -> AsyncIterator[str]:
    def read_next() -> str | None:
        return next(parts, None)

    while (part := await sync_to_async(read_next)()) is not None:
        yield part


def escape_formula(text: str) -> str:
    """Return ``text`` so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text


class _Echo:
    """A file that gives back what is written, so that the csv module makes a line a value."""

    def write(self, line: str) -> str:
        return line


def _read_pages(attempts: QuerySet[PatientConnectionAttempt]) -> Iterator[list[Any]]:
    described = attempts.annotate(words=Left("error_description", WHOLE))
    rows: Any = described.order_by("-created_at", "-id").values_list(
        *_FIELDS_READ.split(), named=True
    )
    page = list(rows[:_PAGE_SIZE])
    while page:
        yield page
        if len(page) < _PAGE_SIZE:
            return
        last = page[-1]
        # The first condition is what the index is entered with; the second sorts out the moment.
        older = rows.filter(created_at__lte=last.created_at).filter(
            Q(created_at__lt=last.created_at) | Q(id__lt=last.id)
        )
        page = list(older[:_PAGE_SIZE])


def _format_moment(moment: datetime | None) -> str:
    if moment is None:
        return ""
    local = moment if timezone.is_naive(moment) else timezone.localtime(moment)
    return local.isoformat(" ", timespec="seconds")


def _format_seconds(taken: timedelta | None) -> str:
    return "" if taken is None else str(taken // timedelta(seconds=1))


def _format_status(row: Any) -> str:
    return str(choose_shown_status(row.status, row.workspace).label)


def _format_meaning(row: Any) -> str:
    message = describe_error(row.error, at_start=was_never_led_away(row))
    return str(message.meaning) if row.error else ""


def _format_row(row: Any) -> list[str]:
    return [escape_formula(format_cell(row)) for _heading, format_cell in _COLUMNS]


_COLUMNS: Final[tuple[tuple[StrPromise, Callable[[Any], str]], ...]] = (
    (_("when"), lambda row: _format_moment(row.created_at)),
    (_("workspace"), lambda row: row.workspace),
    (_("patient"), lambda row: row.patient_id),
    (_("acting for the patient"), lambda row: row.actor),
    (_("facility"), lambda row: row.connection_name),
    (_("facility id"), lambda row: row.connection_id),
    (_("record system"), lambda row: row.connection_type),
    (_("status"), _format_status),
    (_("claimed, not confirmed"), lambda row: gettext("yes") if row.unconfirmed else ""),
    (_("claim and fact disagree"), lambda row: gettext("yes") if row.claim_disagrees else ""),
    (_("error"), lambda row: row.error),
    (_("meaning"), _format_meaning),
    (_("error description"), lambda row: row.words),
    (_("seconds taken"), lambda row: _format_seconds(time_taken(row))),
    (_("access lost"), lambda row: _format_moment(row.lost_at)),
    (_("request id"), lambda row: row.request_id),
    (_("Medblocks session"), lambda row: row.patient_session_id or ""),
    (_("attempt"), lambda row: row.public_id),
)
"""Every column of the file: its heading, and how a row fills it."""

_FIELDS_READ: Final = (
    "id created_at workspace patient_id actor connection_name connection_id connection_type "
    "status unconfirmed claim_disagrees error words returned_at finished_at lost_at request_id "
    "patient_session_id public_id"
)
