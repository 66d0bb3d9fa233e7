"""Errors on order: makes the API answer the next calls of one operation with an error."""

from django.db.models import F

from medblocks_connect.sandbox.error_envelope import ApiError
from medblocks_connect.sandbox.models import Operation, SandboxFault


def queue_fault(
    operation: str,
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
    fault: SandboxFault = SandboxFault.objects.create(
        operation=Operation(operation),
        status=status,
        code=code,
        message=message or "The sandbox was told to fail here.",
        remaining=times,
        retry_after=retry_after,
        after_the_work=after_the_work,
    )
    return fault


def take_fault(operation: str) -> SandboxFault | None:
    """Take the oldest fault that waits for ``operation`` and use it up by one."""
    fault = _oldest_fault(operation)
    while fault is not None and not _use_up(fault):
        fault = _oldest_fault(operation)
    return fault


def error_of(fault: SandboxFault) -> ApiError:
    """Return the answer that ``fault`` asks for."""
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return ApiError(fault.code, fault.message, status=fault.status, headers=headers)


def _oldest_fault(operation: str) -> SandboxFault | None:
    waiting = SandboxFault.objects.filter(operation=operation, remaining__gt=0)
    oldest: SandboxFault | None = waiting.order_by("pk").first()
    return oldest


def _use_up(fault: SandboxFault) -> bool:
    # Two calls at once may have found the same fault: one of them takes it.
    still_waiting = SandboxFault.objects.filter(pk=fault.pk, remaining__gt=0)
    return bool(still_waiting.update(remaining=F("remaining") - 1))
