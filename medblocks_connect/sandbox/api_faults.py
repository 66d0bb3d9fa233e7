"""Queued faults: the API answers the next calls of one operation with an error."""

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

    ``retry_after`` (seconds) becomes the header; a 429 has it in any case, and 1 at least. With
    ``after_the_work`` the call first does its work, as when an answer is lost on its way. Raises
    ``ValueError`` for an operation that the API does not have.
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


def consume_fault(operation: str) -> SandboxFault | None:
    """Take the oldest fault queued for ``operation``, and count its use."""
    queued = SandboxFault.objects.filter(operation=operation, remaining__gt=0)
    for fault in queued.order_by("pk"):
        # Two calls at once may have found the same fault: one of them takes it.
        if queued.filter(pk=fault.pk).update(remaining=F("remaining") - 1):
            return fault
    return None


def build_error(fault: SandboxFault) -> ApiError:
    """Return the error that ``fault`` makes the API answer with."""
    return ApiError(fault.code, fault.message, status=fault.status, retry_after=fault.retry_after)
