"""The error envelope: the type and the HTTP status of each of Medblocks' error codes."""

from typing import Any

_CODES: dict[str, tuple[int, str]] = {
    code: (status, type_)
    for status, type_, codes in (
        (401, "authentication_error", "missing_api_key invalid_api_key expired_api_key"),
        (403, "permission_error", "forbidden insufficient_scope"),
        (400, "invalid_request_error", "bad_request invalid_data unsupported_api_version"),
        (413, "invalid_request_error", "payload_too_large"),
        (404, "not_found_error", "resource_not_found"),
        (409, "conflict_error", "resource_conflict already_linked"),
        (429, "rate_limit_error", "throttled api_key_limit_exceeded"),
        (402, "billing_error", "quota_exceeded feature_not_enabled"),
        (502, "ehr_error", "fhir_error oauth_error token_exchange_failed token_unavailable"),
        (500, "api_error", "internal_error db_error config_missing"),
    )
    for code in codes.split()
}
_TYPES_BY_STATUS = dict(_CODES.values())


class ApiError(Exception):
    """An answer other than 2xx.

    ``status`` overrules the HTTP status that usually goes with the code.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        usual_status, usual_type = _CODES.get(code, (500, "api_error"))
        self.code = code
        self.message = message
        self.param = param
        self.status = status or usual_status
        self.type = usual_type if code in _CODES else _TYPES_BY_STATUS.get(self.status, "api_error")
        self.headers = headers or {}

    def envelope(self, request_id: str) -> dict[str, Any]:
        """Return the JSON body of this answer."""
        return {
            "error": {
                "type": self.type,
                "code": self.code,
                "message": self.message,
                "param": self.param,
                "doc_url": f"https://docs.medblocks.example/errors/{self.code}",
                "request_id": request_id,
            }
        }


def invalid_data(param: str, message: str) -> ApiError:
    """Return the 400 that names the parameter at fault."""
    return ApiError("invalid_data", f"{param}: {message}", param=param)


def not_found(kind: str) -> ApiError:
    """Return the 404 for a thing of this kind."""
    return ApiError("resource_not_found", f"No such {kind}.")
