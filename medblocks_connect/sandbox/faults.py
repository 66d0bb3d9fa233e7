"""Errors on order: makes the API answer the next calls of one operation with an error."""

from django.db.models import F

from medblocks_connect.sandbox.errors import ApiError
from medblocks_connect.sandbox.models import Operation, SandboxFault


def queue_fault(
    operation: Operation | str,
    status: int,
    code: str,
    *,
    message: str = "",
    times: int = 1,
    retry_after: int | None = None,
    after_the_work: bool = False,
) -> SandboxFault:
    """Make the next ``times`` calls of ``operation`` answer ``status`` with error ``code``.

    ``retry_after`` (seconds) becomes the header. With ``after_the_work`` the call first does
    what it was asked, as when an answer is lost on its way. Raises ``ValueError`` for an
    operation that the API does not have.
    """
    return SandboxFault.objects.create(
        operation=Operation(operation),
        status=status,
        code=code,
        message=message or "The sandbox was told to fail here.",
        remaining=times,
        retry_after=retry_after,
        after_the_work=after_the_work,
    )


def take_fault(operation: Operation) -> SandboxFault | None:
    """Take the oldest fault that waits for ``operation`` and use it up by one."""
    for fault in SandboxFault.objects.filter(operation=operation, remaining__gt=0).order_by("pk"):
        waiting = SandboxFault.objects.filter(pk=fault.pk, remaining__gt=0)
        if waiting.update(remaining=F("remaining") - 1):
            return fault
    return None


def error_of(fault: SandboxFault) -> ApiError:
    """Return the answer that ``fault`` asks for."""
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return ApiError(fault.code, fault.message, status=fault.status, headers=headers)
