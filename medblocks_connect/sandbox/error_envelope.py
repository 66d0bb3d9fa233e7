"""The error envelope: the type and the HTTP status of each of Medblocks' error codes."""

from typing import Any

DOC_URL = "https://medblocks.com/docs/reference/errors"
_ROWS = (
    (401, "authentication_error", "not_authenticated invalid_credentials session_expired"),
    (401, "authentication_error", "missing_api_key invalid_api_key expired_api_key"),
    (403, "permission_error", "forbidden org_access_denied role_insufficient"),
    (403, "permission_error", "patient_access_denied scope_violation insufficient_scope"),
    (400, "invalid_request_error", "bad_request invalid_data invalid_image"),
    (400, "invalid_request_error", "unsupported_api_version oauth_state_expired"),
    (413, "invalid_request_error", "payload_too_large"),
    (404, "not_found_error", "resource_not_found"),
    (409, "conflict_error", "resource_conflict already_linked external_id_already_exists"),
    (429, "rate_limit_error", "throttled api_key_limit_exceeded"),
    (402, "billing_error", "quota_exceeded feature_not_enabled"),
    (502, "ehr_error", "fhir_error oauth_error email_error token_exchange_failed"),
    (502, "ehr_error", "token_unavailable storage_error"),
    (500, "api_error", "internal_error db_error config_missing"),
    # Not Medblocks': what the sandbox cannot do.
    (501, "api_error", "not_implemented"),
)
CODES: dict[str, tuple[int, str]] = {
    code: (status, type_) for status, type_, codes in _ROWS for code in codes.split()
}
_TYPES_BY_STATUS = {status: type_ for status, type_, _codes in _ROWS}
# The one code with two types: a bill's limit (402), or a limit of calls (429).
_CODE_TYPED_BY_STATUS = "quota_exceeded"


class ApiError(Exception):
    """An answer other than 2xx.

    ``status`` overrules the HTTP status that usually goes with the code. Every 429 has
    ``Retry-After``: ``retry_after`` seconds, and 1 at least.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.status = status or CODES.get(code, (500, ""))[0]
        self.type = _find_type(code, self.status)
        self.headers = dict(headers or {})
        if self.status == 429:
            retry_after = max(retry_after or 1, 1)
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def envelope(self, request_id: str) -> dict[str, Any]:
        """Return the JSON body of this answer."""
        return {
            "error": {
                "type": self.type,
                "code": self.code,
                "message": self.message,
                "param": self.param,
                "doc_url": DOC_URL,
                "request_id": request_id,
            }
        }


def _find_type(code: str, status: int) -> str:
    if code in CODES and code != _CODE_TYPED_BY_STATUS:
        return CODES[code][1]
    return _TYPES_BY_STATUS.get(status, "api_error")


def invalid_data(param: str, message: str) -> ApiError:
    """Return the 400 that names the parameter at fault."""
    return ApiError("invalid_data", f"{param}: {message}", param=param)


def not_found(kind: str) -> ApiError:
    """Return the 404 for a thing of this kind."""
    return ApiError("resource_not_found", f"No such {kind}.")


def not_implemented(what: str) -> ApiError:
    """Return the 501 for what Medblocks does and the sandbox does not."""
    return ApiError(
        "not_implemented",
        f"The sandbox does not {what}. Try it with a sandbox key of Medblocks' own.",
    )
