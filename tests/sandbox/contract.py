"""Medblocks' public contract as JSON Schema: a file beside the repository, where there is one."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from jsonschema import Draft202012Validator, FormatChecker

# Beside the repository, or beside the folder that holds a work tree of it.
CONTRACT = next(
    (
        path
        for folder in Path(__file__).resolve().parents[3:5]
        if (path := folder / "shared" / "data" / "medblocks-contract.json").is_file()
    ),
    Path("medblocks-contract.json"),
)

needs_contract = pytest.mark.skipif(
    not CONTRACT.is_file(), reason="medblocks-contract.json is not beside this repository"
)


@cache
def load_contract() -> dict[str, Any]:
    """Return the contract. ``PatientConnection.id`` may be null: its sources contradict there."""
    contract: dict[str, Any] = json.loads(CONTRACT.read_text(encoding="utf-8"))
    for contradiction in contract["spec_contradictions"]:
        if "accept" in contradiction:
            name, _, property_name = contradiction["where"].partition(".")
            contract["$defs"][name]["properties"][property_name] = contradiction["accept"]
    return contract


_FORMATS = FormatChecker(formats=["email"])


@_FORMATS.checks("uri")
def _is_uri(text: object) -> bool:
    # What jsonschema itself knows of it depends on what else is installed.
    return not isinstance(text, str) or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:\S+\Z", text) is not None


@cache
def _make_validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/$defs/{name}", "$defs": load_contract()["$defs"]}, format_checker=_FORMATS
    )


def find_errors(content: Any, name: str) -> list[str]:
    """Return what makes ``content`` no ``name`` of the contract."""
    return [
        f"{error.json_path}: {error.message}"
        for error in _make_validator(name).iter_errors(content)
    ]


def read_reply(response: HttpResponse, operation: str) -> Any:
    """Return the JSON of an answer to ``operation``; fail where the contract has no such answer.

    A status of the contract's error rows is an answer to every operation. 405 and 501 are the
    sandbox's own.
    """
    content = json.loads(response.content)
    assert response["Content-Type"] == "application/json"
    schema = "ErrorEnvelope"
    if response.status_code == 200:
        reference = load_contract()["operations"][operation]["responses"]["200"]["schema"]["$ref"]
        schema = reference.rpartition("/")[2]
    assert find_errors(content, schema) == [], (operation, response.status_code)
    if response.status_code != 200:
        check_error(response, content["error"])
    return content


def check_error(response: HttpResponse, error: dict[str, Any]) -> None:
    """Fail unless the error is a row of the contract, with the headers that go with it."""
    assert error["request_id"] == response["X-Request-Id"]
    row = {"type": error["type"], "status": response.status_code, "code": error["code"]}
    assert row in load_contract()["errors"], row
    if response.status_code == 429:
        assert int(response["Retry-After"]) >= 1
