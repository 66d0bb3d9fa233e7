"""Medblocks' API as JSON Schema: what a request must be, and replies that the schemas allow.

The file lies in a folder ``shared`` beside the project or above it; where it is not, what needs it
is skipped.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema
import pytest
from hypothesis import strategies as st

CONTRACT = next(
    (
        path
        for folder in Path(__file__).resolve().parents
        if (path := folder / "shared" / "data" / "medblocks-contract.json").exists()
    ),
    None,
)
needs_contract = pytest.mark.skipif(
    CONTRACT is None, reason="the contract of Medblocks' API is not here"
)

# Names of fields that the client takes for ids: one that cleaning would change would name another.
_IS_ID = re.compile(r"(?:^|_)(?:ids?|cursor|secret)$")
_IDS = st.from_regex(r"[A-Za-z][A-Za-z0-9_:/.%ø-]{0,39}", fullmatch=True)
_TIMES = st.datetimes().map(lambda time: time.isoformat() + "Z")
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e9, 1e9)
    | st.text("aé\n"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("bü"), inner, max_size=2),
    max_leaves=4,
)


@cache
def read_contract() -> dict[str, Any]:
    """Return the contract; an empty one where it is not here."""
    if CONTRACT is None:
        return {"operations": {}, "$defs": {}}
    contract: dict[str, Any] = json.loads(CONTRACT.read_text(encoding="utf-8"))
    return contract


def check(schema: dict[str, Any], value: Any) -> None:
    """Fail unless ``value`` is what ``schema`` allows."""
    whole = {"$defs": read_contract()["$defs"], **schema}
    checker = jsonschema.FormatChecker(["email", "date"])
    jsonschema.Draft202012Validator(whole, format_checker=checker).validate(value)


def find_operation(method: str, path: str) -> str:
    """Return the name of the operation that answers at ``path``."""
    for name, operation in read_contract()["operations"].items():
        pattern = re.sub(r"{\w+}", "[^/]+", operation["path"])
        if operation["method"] == method and re.fullmatch(pattern, path):
            return str(name)
    raise AssertionError(f"no such operation: {method} {path}")


def check_request(method: str, url: str, headers: Any, body: bytes | str | None) -> str:
    """Fail unless a request is one that the contract has; return its operation's name."""
    parts = urlsplit(url)
    name = find_operation(method, parts.path)
    operation = read_contract()["operations"][name]
    query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    assert len(query) == len(dict(query)), "a parameter comes twice"
    for key, value in query:
        assert value, f"{key} is empty"
        schema = operation.get("query_params", {})[key]
        check(schema, int(value) if schema.get("type") == "integer" else value)
    assert ("Authorization" in headers) == operation["auth"]
    for header, schema in operation.get("header_params", {}).items():
        check(schema, headers[header])
    if "request_body" in operation:
        assert headers["Content-Type"] == operation["request_body"]["content_type"]
        check(operation["request_body"]["schema"], json.loads(body or "null"))
    else:
        assert not body
    assert all(unquote(segment) for segment in parts.path.split("/")[1:])
    return name


def replies(name: str) -> st.SearchStrategy[Any]:
    """Return the replies with status 200 that the contract allows to an operation."""
    return values(read_contract()["operations"][name]["responses"]["200"]["schema"])


def values(schema: dict[str, Any], field: str = "") -> st.SearchStrategy[Any]:
    """Return values that ``schema`` allows; ``field`` is the name of the one they are for."""
    if "$ref" in schema:
        return values(read_contract()["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return st.one_of([values(each, field) for each in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    makers = {
        "object": lambda: _objects(schema),
        "array": lambda: st.lists(values(schema["items"], field), max_size=3),
        "string": lambda: _strings(field),
        "boolean": st.booleans,
        "null": st.none,
        "integer": lambda: _integers(schema),
    }
    return makers[schema["type"]]() if "type" in schema else _JSON


def _integers(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    whole = st.integers(schema["minimum"], schema["maximum"])
    return whole | whole.map(float)  # JSON Schema tells 3 from 3.0 no more than JSON does


def _strings(field: str) -> st.SearchStrategy[str]:
    if _IS_ID.search(field):
        return _IDS
    if field.endswith("_at"):
        return _TIMES | st.text(max_size=20)
    # Any text, a long one too; a whole random text of that length would take long to draw.
    return st.text(max_size=20) | st.text(min_size=1, max_size=3).map(lambda text: text * 700)


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    named = st.fixed_dictionaries(
        {name: values(each, name) for name, each in properties.items() if name in required},
        optional={
            name: values(each, name) for name, each in properties.items() if name not in required
        },
    )
    if schema.get("additionalProperties") is False:
        return named
    others = st.dictionaries(st.sampled_from(["new", "x y", "é", ""]), _JSON, max_size=2)
    return st.tuples(others, named).map(lambda pair: {**pair[0], **pair[1]})
