"""What providers say of failed requests, in the words of `refusals.toml`: one table of faults for all APIs."""

from typing import Any

import pytest

from tests.rigs.refusals import REFUSALS
from understudy.models.faults import failure, read_error
from understudy.models.model import LOADS, ModelFault


@pytest.mark.parametrize(("fault", "status", "body"), REFUSALS["faults"])
def test_a_fault_is_known_by_status_code_and_words(fault: str, status: int, body: Any) -> None:
    """What may pass by itself, and only that, can be tried again."""
    made = failure(read_error(body, status), "Error", retry_after_s=7.0)
    passes = fault in ("BUSY", "FAILED", "AWAY")
    assert (made.fault.name, made.retryable, made.retry_after_s) == (fault, passes, 7.0 if passes else None)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 1m2.5s.", 62.5),
        ("Please retry after 20 seconds.", 20.0),
        ("Try again in a moment.", None),
    ],
)
def test_the_time_to_wait_is_read_in_words(words: str, seconds: float | None) -> None:
    assert failure(read_error({"message": words}, 429), "Error").retry_after_s == seconds
    assert failure(read_error({"details": [{"retryDelay": "3s"}]}, 429), "Error").retry_after_s == 3.0
    assert failure(read_error({"message": words}, 429), "Error", retry_after_s=7.0).retry_after_s == 7.0


def test_each_fault_has_words() -> None:
    assert {name for name, *_ in REFUSALS["faults"]} == {fault.name for fault in ModelFault}


def test_quotations_of_the_request_in_an_error_are_not_read() -> None:
    quoted = {"type": "missing", "loc": ["body", "x"], "msg": "Field required", "input": "insufficient balance"}
    error = read_error({"detail": [quoted]}, 422)
    assert (error.fault, error.words) == (ModelFault.REFUSED, "type: missing; loc: body.x; msg: Field required")
    assert len(read_error({"message": "x" * 9_000, "more": ["y" * 9_000] * 50}, 400).words) <= 4_000
    deep: Any = "x"
    for _ in range(10_000):
        deep = [deep]
    assert read_error(deep, 400).words == ""


def test_a_server_that_loads_its_model_says_so() -> None:
    assert failure(read_error({"message": "Loading model"}, 503), "Error").detail == f"Error 503 {LOADS}"
