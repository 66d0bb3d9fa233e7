"""The errors of a call to Medblocks, classed by what the caller can still know and do.

Whether the request may have reached Medblocks decides if it is safe to ask again, so that is a
class of its own (``MedblocksConnectionError`` against ``NoAnswerError``). Answers that are errors
are classed by Medblocks' own ``type``, and by their HTTP status where there is none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class MedblocksError(Exception):
    """Anything that keeps a call to Medblocks from its result.

    Attributes, all safe to store and all but ``message`` safe to show:

    - ``type``: Medblocks' class of the error, for example ``"not_found_error"``; ``""`` if the
      error did not come from Medblocks.
    - ``code``: what went wrong, for example ``"resource_not_found"``; branch on this.
    - ``message``: one line for developers, at most 500 characters, redacted. Not in ``str()``,
      because a text from outside has no place in a log.
    - ``param``: the parameter that Medblocks names, or ``""``.
    - ``request_id``: Medblocks' ``X-Request-Id``, or ``""``; support asks for it.
    - ``status_code``: the HTTP status, or ``None`` where no answer came.
    - ``retry_after``: seconds that Medblocks asks to wait, or ``None``.
    """

    default_code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str = "",
        *,
        type: str = "",  # noqa: A002 - the name of the field in Medblocks' error envelope
        code: str = "",
        param: str = "",
        request_id: str = "",
        status_code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.type = type
        self.code = code or self.default_code
        self.message = message
        self.param = param
        self.request_id = request_id
        self.status_code = status_code
        self.retry_after = retry_after
        super().__init__(self._summarize())

    def _summarize(self) -> str:
        details = []
        if self.status_code is not None:
            details.append(f"HTTP {self.status_code}")
        if self.request_id:
            details.append(f"request {self.request_id}")
        return f"{self.code} ({', '.join(details)})" if details else self.code

    def __str__(self) -> str:
        return self._summarize()

    @property
    def is_unanswered(self) -> bool:
        """Return whether no whole answer came: a MedblocksConnectionError or a NoAnswerError."""
        return isinstance(self, MedblocksConnectionError | NoAnswerError)

    @property
    def is_unavailable(self) -> bool:
        """Return whether Medblocks is down for this call: no whole answer, or a 5xx."""
        return self.is_unanswered or (self.status_code or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def is_rate_limited(self) -> bool:
        """Return whether Medblocks refused for now: too many requests, by its ``type`` or a 429."""
        too_many = self.status_code == HTTPStatus.TOO_MANY_REQUESTS
        return too_many or isinstance(self, RateLimitError)

    @property
    def is_key_refused(self) -> bool:
        """Return whether the API key is at fault, so that every other call fails alike."""
        return isinstance(self, AuthenticationError | PermissionDeniedError)

    @property
    def is_temporary(self) -> bool:
        """Return whether the same call may work later: Medblocks is unavailable or rate limits."""
        return self.is_unavailable or self.is_rate_limited

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own way would pass the summary as the message, and lose the rest.
        names = ("message", "type", "code", "param", "request_id", "status_code", "retry_after")
        return _rebuild_error, (type(self), {name: getattr(self, name) for name in names})


def _rebuild_error(error_class: type[MedblocksError], attributes: dict[str, Any]) -> MedblocksError:
    return error_class(**attributes)


def without_frames(method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Make ``method`` raise its errors, whichever they are, without the frames they came through.

    Error reports print the local variables of every frame, and those of a call are a patient's
    id, name and e-mail address, the request with the key, and its answer.
    """

    @functools.wraps(method)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is raised again
            failure = error
        del args, kwargs
        # What led to it has frames of its own.
        failure.__cause__ = failure.__context__ = None
        # Outside the except block, so that it gets no new context either.
        raise failure.with_traceback(None)

    return call


class MedblocksConnectionError(MedblocksError):
    """The request cannot have reached Medblocks: refused, no DNS, no TLS, no connection in time."""

    default_code = "connection_failed"


class MedblocksBusyError(MedblocksConnectionError):
    """Nothing was sent: Medblocks does not answer or limits the rate, and enough wait for it.

    ``retry_after`` is when the gate may let a call through again, or ``None``.
    """

    default_code = "medblocks_busy"


class NoAnswerError(MedblocksError):
    """The request was sent, or may have been, and no whole answer came: the effect is unknown."""

    default_code = "no_answer"


class UnexpectedReplyError(MedblocksError):
    """An answer came that is not what the API promises."""

    default_code = "unexpected_reply"


class MedblocksAPIError(MedblocksError):
    """Medblocks answered, and its answer is an error."""


class AuthenticationError(MedblocksAPIError):
    """401: the API key is missing, wrong or expired."""


class PermissionDeniedError(MedblocksAPIError):
    """403: the API key may not do this."""


class InvalidRequestError(MedblocksAPIError):
    """400, 413: the request is not one that Medblocks takes; also raised before a hopeless call."""


class NotFoundError(MedblocksAPIError):
    """404: no such thing, or not for this workspace."""


class ConflictError(MedblocksAPIError):
    """409: it contradicts what is there already."""


class RateLimitError(MedblocksAPIError):
    """429: too many requests, or the quota is used up."""


class BillingError(MedblocksAPIError):
    """402: the workspace's plan does not hold this."""


class EHRError(MedblocksAPIError):
    """502 with type ``ehr_error``: the facility's system failed behind Medblocks."""


class ServerError(MedblocksAPIError):
    """5xx: Medblocks itself failed."""


_CLASS_OF_TYPE: dict[str, type[MedblocksAPIError]] = {
    "authentication_error": AuthenticationError,
    "permission_error": PermissionDeniedError,
    "invalid_request_error": InvalidRequestError,
    "not_found_error": NotFoundError,
    "conflict_error": ConflictError,
    "rate_limit_error": RateLimitError,
    "billing_error": BillingError,
    "ehr_error": EHRError,
    "api_error": ServerError,
}

_CLASS_OF_STATUS: dict[int, type[MedblocksAPIError]] = {
    401: AuthenticationError,
    402: BillingError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitError,
}


def choose_error_class(error_type: str, status_code: int) -> type[MedblocksAPIError]:
    """Return the class for Medblocks' ``error_type``, or for the 4xx/5xx status if unknown."""
    by_status = _CLASS_OF_STATUS.get(
        status_code,
        ServerError if status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else InvalidRequestError,
    )
    return _CLASS_OF_TYPE.get(error_type, by_status)
