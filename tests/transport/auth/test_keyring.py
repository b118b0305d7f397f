import pytest
import trio

from actors import ActorSystem, ChildSpec
from tests.transport.provider import ec_key, key_set, published
from transport.auth.jwks import KeySet, read_key_set
from transport.auth.keyring import MAX_WAITERS, KeyFetcher, Keyring, KeyTimes
from transport.auth.tokens import JoseHeader
from transport.wire.errors import FetchFailed, KeySetInvalid

TIMES = KeyTimes(refresh_s=300.0, retry_s=1.0, max_retry_s=60.0, cool_down_s=10.0, stale_s=3600.0)


class Source:
    """Gives keys of these names, or raises, after `takes_s`; keeps when it was asked."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.error: Exception | None = None
        self.takes_s = 0.0
        self.asked: list[float] = []

    async def __call__(self) -> KeySet:
        self.asked.append(trio.current_time())
        await trio.sleep(self.takes_s)
        if self.error is not None:
            raise self.error
        return read_key_set(key_set(*(published(ec_key(), name) for name in self.names)))


@pytest.fixture
async def kept(autojump_clock):
    """A source, a keyring, and the actor between them, an hour after the beginning of time."""
    source = Source("one")
    async with ActorSystem("test") as system:
        await trio.sleep(3600.0)
        keyring = Keyring(TIMES, trio.current_time)
        ref = await system.spawn(ChildSpec("keys", lambda: KeyFetcher(keyring, source)))
        await trio.testing.wait_all_tasks_blocked()
        yield source, keyring, ref


def head(name: str) -> JoseHeader:
    """The head of a token that names this key."""
    return JoseHeader("ES256", name)


async def asked_within(source: Source, seconds: float) -> int:
    """How often the source is asked in so many seconds from now."""
    before = len(source.asked)
    await trio.sleep(seconds)
    return len(source.asked) - before


async def test_keys_are_there_soon_after_the_start(autojump_clock, kept) -> None:
    """And are looked up without a wait."""
    source, keyring, _ = kept
    assert keyring.find(head("one")) is not None
    assert len(source.asked) == 1
    assert repr(keyring) == "Keyring(keys=1)"


async def test_keys_are_fetched_again_from_time_to_time(autojump_clock, kept) -> None:
    """A key that its provider withdrew counts for one period at most, and a new one is known without being named."""
    source, keyring, _ = kept
    source.names = ("two",)
    await trio.sleep(299)
    assert keyring.find(head("one")) is not None
    await trio.sleep(2)
    assert keyring.find(head("two")) is not None
    assert len(source.asked) == 2
    assert keyring.find(head("one")) is None


async def test_a_key_that_is_not_known_is_fetched_at_once(autojump_clock, kept) -> None:
    """Whoever named it waits as long as that takes."""
    source, keyring, _ = kept
    await trio.sleep(11)
    source.names, source.takes_s = ("one", "two"), 0.5
    began = trio.current_time()
    assert keyring.find(head("two")) is None
    await keyring.wait_fetched(2.0)
    assert keyring.find(head("two")) is not None
    assert trio.current_time() - began == pytest.approx(0.5)


async def test_nobody_waits_longer_than_allowed(autojump_clock, kept) -> None:
    """Nor for a fetch that nobody began."""
    source, keyring, _ = kept
    await trio.sleep(11)
    began = trio.current_time()
    await keyring.wait_fetched(2.0)
    assert trio.current_time() == began
    source.takes_s = 5.0
    assert keyring.find(head("two")) is None
    await keyring.wait_fetched(2.0)
    assert trio.current_time() - began == pytest.approx(2.0)


async def test_a_flood_of_unknown_keys_is_one_fetch(autojump_clock, kept) -> None:
    """In each cool-down, however many tokens name one; nobody waits for the next."""
    source, keyring, _ = kept
    await trio.sleep(11)
    before = len(source.asked)
    for second in range(100):
        for number in range(100):
            assert keyring.find(head(f"forged-{second}-{number}")) is None
        await keyring.wait_fetched(2.0)
        await trio.sleep(1)
    assert len(source.asked) - before == 10


async def test_a_fetch_that_is_under_way_is_waited_for(autojump_clock, kept) -> None:
    """Not doubled; and it leaves room for one more at once, as it may have begun before the key was published."""
    source, keyring, ref = kept
    source.takes_s = 1.0
    ref.kill()
    with trio.move_on_after(0.5):
        await ref.wait_stopped()
    before = len(source.asked)
    assert keyring.find(head("two")) is None
    source.names = ("one", "two")
    await keyring.wait_fetched(2.0)
    assert len(source.asked) == before
    assert keyring.find(head("two")) is not None
    assert keyring.find(head("three")) is None
    await keyring.wait_fetched(2.0)
    assert len(source.asked) == before + 1


async def test_only_so_many_wait_at_a_time(autojump_clock, kept) -> None:
    """The others are answered at once with what is known."""
    source, keyring, _ = kept
    await trio.sleep(11)
    source.takes_s, went_on = 1.0, []

    async def wait() -> None:
        keyring.find(head("two"))
        await keyring.wait_fetched(2.0)
        went_on.append(trio.current_time())

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(MAX_WAITERS + 50):
            nursery.start_soon(wait)
    assert sum(at == began for at in went_on) == 50


@pytest.mark.parametrize("error", [FetchFailed("idp", "it answers 503"), KeySetInvalid("no"), OSError("no")])
async def test_former_keys_are_kept_while_there_are_no_newer_ones(autojump_clock, kept, error) -> None:
    """Until they are stale; it is tried again after ever longer times, and all is well after the first success."""
    source, keyring, _ = kept
    source.error = error
    await trio.sleep(301)
    assert keyring.find(head("one")) is not None
    assert await asked_within(source, 58) == 5  # 1, 2, 4, 8, 16, and 32 s after it began
    assert await asked_within(source, 600) in (10, 11)
    assert not keyring.stale
    await trio.sleep(2400)
    assert not keyring.stale
    await trio.sleep(300)
    assert keyring.stale
    assert keyring.find(head("one")) is None
    source.error = None
    await trio.sleep(61)
    assert keyring.find(head("one")) is not None
    assert await asked_within(source, 299) <= 1


async def test_whoever_waits_goes_on_when_a_fetch_fails(autojump_clock, kept) -> None:
    """At once, and without the key."""
    source, keyring, _ = kept
    await trio.sleep(11)
    source.error, source.takes_s = FetchFailed("idp", "gone"), 0.3
    began = trio.current_time()
    assert keyring.find(head("two")) is None
    await keyring.wait_fetched(2.0)
    assert trio.current_time() - began == pytest.approx(0.3)
    assert keyring.find(head("one")) is not None


async def test_an_actor_that_dies_begins_again_with_the_keys_it_had(autojump_clock, kept) -> None:
    """The keys are not its own, and the next incarnation fetches at once."""
    source, keyring, ref = kept
    before = len(source.asked)
    ref.kill()
    await trio.sleep(5)
    assert keyring.find(head("one")) is not None
    assert len(source.asked) == before + 1


async def test_without_an_actor_nothing_is_known_and_nobody_waits(autojump_clock) -> None:
    """As before the server has started."""
    keyring = Keyring(TIMES, trio.current_time)
    assert keyring.stale
    assert keyring.find(head("one")) is None
    with trio.fail_after(0):
        await keyring.wait_fetched(2.0)
