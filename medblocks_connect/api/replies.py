"""Reading of answers: bounded bytes and proper JSON, and otherwise an error with a name."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests

from medblocks_connect.api import clock
from medblocks_connect.api.deadline import MAX_BODY_BYTES, NETWORK_FAILURES
from medblocks_connect.api.errors import (
    MedblocksAPIError,
    UnexpectedReplyError,
    choose_error_class,
)
from medblocks_connect.api.json_fields import MAX_CODE_LENGTH, MAX_TYPE_LENGTH
from medblocks_connect.api.redaction import Redactor
from medblocks_connect.api.text import clean_text

Result = TypeVar("Result")

_MAX_REQUEST_ID_LENGTH = 100
_READ_BYTES = 64 * 1024
# Longer numbers are no numbers of this API, and int() takes quadratic time for them.
_MAX_NUMBER_LENGTH = 100
_WHOLE_SECONDS = re.compile(r"[0-9]{1,9}")
_MAX_DATE_LENGTH = 64


def read_reply(
    answer: requests.Response, read: Callable[[object], Result], redactor: Redactor
) -> Result:
    """Return what ``read`` makes of the answer's JSON.

    Raises ``MedblocksAPIError`` for a 4xx or 5xx, ``UnexpectedReplyError`` for anything else that
    the API does not promise, and whatever the network raises while a good answer arrives.
    """
    status = answer.status_code
    request_id = read_request_id(answer, redactor)
    # A redirect is never followed: the key would go along.
    problem = f"The answer has the status {status}."
    if 200 <= status < 300:
        try:
            return read(parse_json(read_body(answer)))
        except UnexpectedReplyError as error:
            problem = error.message
    elif 400 <= status < 600:
        raise _read_error(answer, request_id, redactor)
    raise UnexpectedReplyError(problem, status_code=status, request_id=request_id)


def read_request_id(answer: requests.Response, redactor: Redactor) -> str:
    """Return the answer's ``X-Request-Id``, or ``""``."""
    return redactor.redact_secrets(answer.headers.get("X-Request-Id"), _MAX_REQUEST_ID_LENGTH)


def read_body(answer: requests.Response) -> bytes:
    """Return the decoded body; raises ``UnexpectedReplyError`` if it is too large or not plain.

    Decoded here and not by ``requests``, which would unpack 100 KB into 100 MB before anybody
    could look.
    """
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise UnexpectedReplyError("The answer has an unsupported Content-Encoding.")
    body = bytearray()
    while chunk := answer.raw.read(_READ_BYTES, decode_content=False):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise UnexpectedReplyError("The answer is too large.")
    return _unpack(bytes(body)) if encoding.endswith("gzip") else bytes(body)


def _unpack(packed: bytes) -> bytes:
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)  # 16: expect gzip's header
    try:
        body = decoder.decompress(packed, MAX_BODY_BYTES + 1)
    except zlib.error:
        body = b""
    if len(body) > MAX_BODY_BYTES:
        raise UnexpectedReplyError("The answer is too large.")
    if not decoder.eof or decoder.unused_data:
        raise UnexpectedReplyError("The answer is not proper gzip.")
    return body


def parse_json(body: bytes) -> object:
    """Return the JSON in ``body``; raises ``UnexpectedReplyError`` for anything else."""
    try:
        parsed: object = json.loads(
            body.decode("utf-8"),
            parse_int=_parse_int,
            parse_float=_parse_float,
            parse_constant=_refuse_constant,
        )
        return parsed
    except (ValueError, RecursionError):
        pass
    # Raised out here, because a JSON error holds the whole body as its context.
    raise UnexpectedReplyError("The answer is not proper JSON.")


def _parse_int(digits: str) -> int:
    if len(digits) > _MAX_NUMBER_LENGTH:
        raise ValueError("too many digits")
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("not a finite number")
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(name)  # NaN, Infinity: Python's parser takes them, JSON has none


def _read_error(
    answer: requests.Response, request_id: str, redactor: Redactor
) -> MedblocksAPIError:
    status = answer.status_code
    try:
        payload = parse_json(read_body(answer))
    except (UnexpectedReplyError, *NETWORK_FAILURES):
        # The status and Retry-After are there: a body that is cut off takes away only the words.
        payload = None
    envelope: Mapping[str, Any] = {}
    if isinstance(payload, dict) and isinstance(payload.get("error"), dict):
        envelope = payload["error"]
    error_type = redactor.redact_secrets(envelope.get("type"), MAX_TYPE_LENGTH)
    return choose_error_class(error_type, status)(
        redactor.redact(envelope.get("message")),
        type=error_type,
        code=redactor.redact_secrets(envelope.get("code"), MAX_CODE_LENGTH) or f"http_{status}",
        param=redactor.redact(envelope.get("param"), MAX_CODE_LENGTH),
        request_id=redactor.redact_secrets(envelope.get("request_id"), _MAX_REQUEST_ID_LENGTH)
        or request_id,
        status_code=status,
        retry_after=parse_retry_after(answer.headers.get("Retry-After")),
    )


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` asks to wait, ``None`` if it is not one.

    Whole seconds or an HTTP date (RFC 9110, 10.2.3); a date that is past asks for 0.
    """
    text = clean_text(value, _MAX_DATE_LENGTH)
    if _WHOLE_SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return max(0.0, moment.timestamp() - clock.now())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
