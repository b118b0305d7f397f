"""When a client comes back, and when it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.client.reconnect import MAX_RETRY_AFTER_S, ended_by_close, ended_by_refusal
from transport.wire.codes import CLOSES
from transport.wire.errors import SocketClosed, Unauthenticated
from understudy.client import Reconnect

NOON = 1795176000.0  # 2026-11-20T12:00:00Z


@given(st.integers(0, 5000), st.floats(0, 1))
def test_the_delay_grows_and_is_random(failures: int, chance: float) -> None:
    """Full jitter: anything from nothing to the doubled bound, never over the longest."""
    how = Reconnect(first_s=0.5, max_s=30.0)
    assert 0 <= how.delay_s(failures, chance) <= 30.0
    assert how.delay_s(failures, chance) == pytest.approx(how.delay_s(failures, 1.0) * chance)
    assert [how.delay_s(attempts, 1.0) for attempts in (0, 1, 2, 6, 99)] == [0.5, 1.0, 2.0, 30.0, 30.0]


@pytest.mark.parametrize("code", [*CLOSES, 1005, 1006, 3000, 4999])
def test_a_close_is_judged_by_the_registry(code: int) -> None:
    """Codes that it does not know are worth another try."""
    ending = ended_by_close(code, "why")
    close = CLOSES.get(code)
    assert (ending.failure is None) == (close is None or close.reconnect)
    assert ending.token == (code == 4401)
    assert ending.reason == f"closed with {code}: why"
    if ending.failure is not None:
        assert str(ending.failure) == ending.reason


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (200, SocketClosed), (301, SocketClosed), (307, SocketClosed), (400, SocketClosed), (401, Unauthenticated),
        (403, Unauthenticated), (404, SocketClosed), (408, None), (421, SocketClosed), (425, None), (426, SocketClosed),
        (429, None), (500, None), (502, None), (503, None), (504, None),
    ],
)  # fmt: skip
def test_a_refused_handshake(status: int, failure: type[Exception] | None) -> None:
    """Transient statuses allow another attempt; only 401 is due to the token."""
    ending = ended_by_refusal(status, [], NOON)
    assert type(ending.failure) is (failure or type(None))
    assert ending.token == (status == 401)
    assert str(status) in ending.reason


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (b"7", 7.0), (b" 0 ", 0.0), (b"999999", MAX_RETRY_AFTER_S), (b"Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        (b"Fri, 20 Nov 2026 11:00:00 GMT", 0.0), (b"-5", None), (b"soon", None), (b"\xff", None), (b"9" * 5000, None),
        (b"1.5", None), ("٣".encode(), None),
    ],
)  # fmt: skip
def test_a_server_that_names_a_time_is_left_alone_so_long(value: bytes, wait_s: float | None) -> None:
    """Retry-After in seconds or as a date, cut to the maximum; other texts are ignored."""
    for status in (429, 503):
        assert ended_by_refusal(status, [(b"Retry-After", value)], NOON).not_before_s == wait_s


def test_a_redirect_is_named_and_not_followed() -> None:
    """The reason names host and path of the redirect, without its query."""
    where = b"https://elsewhere.example/ws?session_token=secret"
    ending = ended_by_refusal(302, [(b"location", where)], NOON)
    assert ending.reason == "the server refused with 302, a redirect to elsewhere.example/ws"
    assert ended_by_refusal(302, [(b"location", b"http://[")], NOON).reason == "the server refused with 302, a redirect"
