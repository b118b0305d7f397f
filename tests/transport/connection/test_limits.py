import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.connection.limits import ClientLimits, CommandLimits, Ledger, RateLimit, RequestLimits, TokenBucket
from transport.server.connection_limiter import Counter
from transport.wire.commands import Ack, ClientPing, Hello, Refresh, Resume
from understudy.wire.commands import (
    COMMANDS,
    Approve,
    Cancel,
    Continue,
    Decision,
    Edit,
    Feedback,
    Regenerate,
    Say,
    Steer,
    UserTyping,
)


def test_a_burst_then_a_wait() -> None:
    """The bucket gives its burst at once, then says how long until the next; waiting that long is enough."""
    bucket = TokenBucket(rate_per_min=120, burst=3)
    assert [bucket.take(100.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(100.0) == pytest.approx(0.5)
    assert bucket.take(100.25) == pytest.approx(0.25)
    assert bucket.take(100.5) == 0
    assert bucket.take(100.5) == pytest.approx(0.5)


def test_a_bucket_holds_no_more_than_its_burst() -> None:
    bucket = TokenBucket(rate_per_min=60, burst=2)
    bucket.take(0.0)
    assert [bucket.take(3600.0) == 0 for _ in range(3)] == [True, True, False]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(rate_per_min=60, burst=1)
    assert bucket.take(100.0) == 0
    assert bucket.take(50.0) == pytest.approx(1.0)
    assert bucket.take(100.5) == pytest.approx(0.5)


@given(
    st.integers(1, 600), st.integers(1, 20), st.lists(st.floats(0, 5, allow_subnormal=False), min_size=1, max_size=60)
)
def test_never_more_than_rate_and_burst(rate, burst, waits) -> None:
    """Takes at any times: the sum is within burst and rate, and the returned wait suffices."""
    bucket, now, given_out = TokenBucket(rate, burst), 0.0, 0
    for wait in waits:
        now += wait
        retry_after = bucket.take(now)
        given_out += retry_after == 0
        assert given_out <= burst + now * rate / 60 + 1e-6
        assert 0 <= retry_after <= 60 / rate + 1e-9
    retry_after = bucket.take(now)
    if retry_after:
        assert bucket.take(now + retry_after + 1e-6) == 0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (60, 0.5), (-1, 1)])
def test_a_bucket_that_never_gives_is_refused(rate, burst) -> None:
    """A bucket that could hold no whole token, or is never refilled, would refuse for ever."""
    with pytest.raises(ValueError, match=r"burst|rate_per_min"):
        TokenBucket(rate, burst)


def test_users_do_not_share_a_bucket() -> None:
    limit = RateLimit(60, burst=1)
    assert limit.take("anna", 0.0) == 0
    assert limit.take("anna", 0.0) > 0
    assert limit.take("bert", 0.0) == 0


def test_full_buckets_are_not_kept() -> None:
    """A user is silent until the bucket is full: it is dropped, with the same limit later."""
    limit = RateLimit(60, burst=2)
    for user in ("anna", "bert"):
        limit.take(user, 0.0)
    assert len(limit) == 2
    limit.take("carl", 10.0)
    assert len(limit) == 1
    assert [limit.take("anna", 10.0) == 0 for _ in range(3)] == [True, True, False]


def test_the_number_of_buckets_is_bounded() -> None:
    """At the bound the user heard of least recently is forgotten first."""
    limit = RateLimit(60, burst=1, max_users=2)
    limit.take("anna", 0.0)
    limit.take("bert", 0.0)
    assert limit.take("anna", 0.1) > 0
    limit.take("carl", 0.1)
    assert len(limit) == 2
    assert limit.take("anna", 0.2) > 0
    assert limit.take("bert", 0.2) == 0


def test_a_user_has_at_most_the_cap() -> None:
    """The one too many is refused and not counted; a place that is left can be taken again."""
    counter = Counter(2)
    assert [counter.enter("anna") for _ in range(3)] == [True, True, False]
    assert counter.enter("bert")
    counter.leave("anna")
    assert counter.held("anna") == 1
    assert counter.enter("anna")
    assert not counter.enter("anna")


def test_leaving_too_often_is_a_fault() -> None:
    """A place given back twice would let a user pass the cap, so it is an error at once."""
    counter = Counter(2)
    counter.enter("anna")
    counter.leave("anna")
    with pytest.raises(ValueError, match="left more often"):
        counter.leave("anna")
    assert counter.held("anna") == 0


KINDS = [Resume({}), Cancel("r"), Approve("c", Decision.ALLOW), Feedback("m"), Hello(), Refresh("t")]


def take_all(limits: CommandLimits, command: object, user: str = "ada") -> int:
    return next(count for count in range(1000) if limits.take(user, command, 0.0) > 0)


def test_every_kind_of_command_has_its_own_bucket() -> None:
    limits = CommandLimits(ClientLimits(messages_per_minute=2, operations_per_minute=3, signals_per_minute=4))
    assert [take_all(limits, command) for command in KINDS] == [3] * len(KINDS)
    assert [take_all(limits, command) for command in (Ack("t", 1), UserTyping("t"), ClientPing())] == [4] * 3
    assert take_all(limits, Say("x")) == 2
    assert take_all(limits, KINDS[0], "bob") == 3


def test_whatever_begins_a_run_is_a_message() -> None:
    limits = CommandLimits(ClientLimits(messages_per_minute=4))
    for command in (Say("x"), Edit("m", "x"), Regenerate("m"), Continue("r")):
        assert limits.take("ada", command, 0.0) == 0
    assert all(limits.take("ada", command, 0.0) == 15.0 for command in (Say("x"), Edit("m", "x"), Regenerate("m")))


def test_every_command_has_a_limit() -> None:
    """Unlisted commands have the limit of operations; signals have their own."""
    limits = CommandLimits(ClientLimits(messages_per_minute=1, operations_per_minute=1, signals_per_minute=1))
    for kind in set(COMMANDS.values()):
        command = object.__new__(kind)
        assert limits.take("ada", command, 0.0) == 0 or kind in (Say, Edit, Regenerate, Continue, Steer)
        assert limits.take("ada", command, 0.0) > 0
    assert all(kind.signal for kind in COMMANDS.values() if kind.superseded)


def test_requests_are_counted_for_a_user_or_an_address() -> None:
    """A user of the name of an address is somebody else."""
    limits = RequestLimits(1)
    assert limits.take(None, "203.0.113.9", 0.0) == 0
    assert limits.take(None, "203.0.113.9", 0.0) == 60.0
    assert limits.take("203.0.113.9", "203.0.113.9", 0.0) == 0
    assert limits.take("ada", "203.0.113.9", 0.0) == 0
    assert limits.take("ada", "203.0.113.10", 0.0) == 60.0


def test_a_ledger_has_what_was_taken_and_tells_it_once() -> None:
    """Only granted tokens are recorded, per bucket, while the ledger is open, up to its cap."""
    ledger = Ledger(cap=2)
    rate = RateLimit(2, 2, name="messages", ledger=ledger)
    rate.take("ada", 0.0)
    ledger.open = True
    assert ledger.unreported(rate, "ada") == 0
    assert [rate.take(user, 0.0) > 0 for user in ("ada", "ada", "bob", "bob", "carl")] == [False, True] + [False] * 3
    assert ledger.unreported(rate, "bob") == 2
    assert ledger.take_unreported(1) == [(rate, "ada", 1)]
    assert ledger.take_unreported(9) == [(rate, "bob", 2)]
    assert ledger.take_unreported(9) == []
    rate.take("carl", 0.0)
    assert ledger.take_unreported(9) == [(rate, "carl", 1)]


def test_a_bucket_is_lowered_never_raised() -> None:
    """To less than nothing too; it refills from there, and a full one is not kept for it."""
    rate = RateLimit(60, 60)
    rate.lower("ada", 60.0, 0.0)
    assert len(rate) == 0
    rate.lower("ada", -10.0, 0.0)
    rate.lower("ada", 30.0, 0.0)
    assert rate.take("ada", 0.0) == pytest.approx(11.0)
    assert rate.take("ada", 11.0) == 0
    assert rate.take("bob", 0.0) == 0
    rate.lower("bob", 1.0, 0.0)
    assert [rate.take("bob", 0.0) > 0 for _ in range(2)] == [False, True]
