"""The error envelope: every code of the contract, with its type, status and headers."""

import pytest

from medblocks_connect.sandbox.error_envelope import CODES, ApiError
from tests.sandbox.contract import find_errors, load_contract, needs_contract


@needs_contract
def test_codes_are_those_of_the_contract_and_one_of_the_sandbox():
    assert set(CODES) == {row["code"] for row in load_contract()["errors"]} | {"not_implemented"}


@needs_contract
def test_code_with_its_status_has_the_type_of_the_contract():
    for row in load_contract()["errors"]:
        error = ApiError(row["code"], "", status=row["status"])
        assert error.type == row["type"], row
        assert find_errors(error.envelope("req_1"), "ErrorEnvelope") == []


@needs_contract
def test_code_alone_has_a_status_of_the_contract():
    statuses = {(row["code"], row["status"]) for row in load_contract()["errors"]}
    for code in set(CODES) - {"not_implemented"}:
        assert (code, ApiError(code, "").status) in statuses


def test_code_unknown_has_the_type_of_its_status():
    assert ApiError("invented", "", status=409).type == "conflict_error"
    assert ApiError("invented", "", status=418).type == "api_error"


@pytest.mark.parametrize(("asked", "told"), [(None, "1"), (0, "1"), (-5, "1"), (30, "30")])
def test_429_asks_to_wait_a_second_at_least(asked, told):
    assert ApiError("throttled", "", retry_after=asked).headers == {"Retry-After": told}
