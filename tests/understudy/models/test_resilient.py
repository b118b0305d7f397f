"""A provider behind retries and a circuit breaker."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from attrs import evolve

from actors import Backoff
from actors.behaviours import CircuitChange, CircuitState
from tests.understudy.models.conftest import Heard
from tests.understudy.models.provider import KEY, Provider, Script, end_chunk, text_chunk
from understudy.models.fallback import FallbackModel
from understudy.models.model import (
    MESSAGE_TOO_LONG,
    TOO_LONG,
    AgentCard,
    Emit,
    MessageItem,
    ModelUnavailable,
    Reply,
    TextDelta,
    Thought,
    Turn,
)
from understudy.models.openai_chat import OpenAIChat
from understudy.models.openai_client import read_retry_after
from understudy.models.registry import load_provider
from understudy.models.resilient import UNREACHABLE, ResilientModel

TURN = Turn(AgentCard("guide"), (MessageItem("user", "Hello"),))
GONE = ModelUnavailable("The connection to the language model was lost.", True, "gone")


class Scripted:
    """A model that plays one step per call: raises an error, or emits a text. The last step is repeated."""

    name, notice = "scripted", "A notice."

    def __init__(self, *steps: ModelUnavailable | str) -> None:
        self.steps = list(steps)
        self.asked = 0
        self.gate: trio.Event | None = None

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Play the next step. Text emitted before an error precedes a colon in the error's detail."""
        step = self.steps[min(self.asked, len(self.steps) - 1)]
        self.asked += 1
        if isinstance(step, str):
            await emit(TextDelta(step))
            if self.gate is not None:
                await self.gate.wait()
            return Reply(step)
        if ":" in step.detail:
            await emit(Thought(step.detail))
        raise step


async def ask(model: ResilientModel, heard: Heard) -> str:
    """Return the text, or the detail of the error."""
    try:
        return (await model.respond(TURN, heard)).text
    except ModelUnavailable as error:
        return error.detail


class Slow:
    """A model that writes a word now and then, for a long time."""

    name, notice = "slow", ""

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Write a word every 100 seconds."""
        for _ in range(30):
            await trio.sleep(100)
            await emit(TextDelta("word "))
        return Reply("word " * 30)


async def test_an_answer_that_has_begun_has_all_the_time_of_its_run(autojump_clock: object, heard: Heard) -> None:
    """Retries, breaker and chain of models have no limit of their own for it."""
    chain = FallbackModel((ResilientModel(Slow(), "one"), ResilientModel(Slow(), "two")), ("one", "two"))
    with trio.fail_after(3600):
        await chain.respond(TURN, heard)
    assert heard.text == "word " * 30


class Pausing:
    """A stream whose next piece comes after a minute and a half."""

    def __aiter__(self) -> "Pausing":
        return self

    async def __anext__(self) -> str:
        await trio.sleep(90)
        return "word"


@pytest.mark.blocking("the provider's package builds what it needs when it is first used")
@pytest.mark.parametrize("provider", ["openai", "openai-chat", "anthropic"])
async def test_a_pause_of_a_busy_provider_does_not_cut_the_answer(autojump_clock: object, provider: str) -> None:
    """As long as a minute and a half, unless the settings say otherwise."""
    client: Any = load_provider(provider)("tiny", api_key=KEY, base_url="http://127.0.0.1:9", retries=0)
    inner = client.client if provider == "anthropic" else client._client
    limit_s = client._idle_s if provider == "anthropic" else inner.idle_s
    stream = Pausing()
    said = await (inner.within(limit_s, stream.__anext__) if provider == "anthropic" else inner.next(stream, limit_s))
    assert said == "word"
    await client.aclose()


async def test_it_is_asked_again_before_the_first_word(autojump_clock: object, heard: Heard) -> None:
    """Attempts that fail before the first text are repeated with growing pauses; only one answer is emitted."""
    scripted = Scripted(GONE, GONE, "Hello")
    model, began = ResilientModel(scripted, "m"), trio.current_time()
    assert await ask(model, heard) == heard.text == "Hello"
    assert 0.25 * 0.8 + 0.5 * 0.8 <= trio.current_time() - began <= 0.25 * 1.2 + 0.5 * 1.2
    assert (model.name, model.notice) == ("scripted", "A notice.")


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (GONE, 3),
        (ModelUnavailable("refused", False, "a refused key"), 1),
        (ModelUnavailable("lost", True, "said: before it was lost"), 1),
        (ModelUnavailable("busy", True, "wants long", 60.0), 1),
        (ModelUnavailable("busy", True, "wants a little", 2.0), 3),
    ],
)
async def test_not_everything_is_asked_again(
    autojump_clock: object, heard: Heard, error: ModelUnavailable, asked: int
) -> None:
    """No retry if the error is not retryable, the answer has begun, or `retry_after_s` exceeds the limit."""
    scripted = Scripted(error)
    assert await ask(ResilientModel(scripted, "m"), heard) == error.detail
    assert scripted.asked == asked


async def test_a_first_message_that_is_too_long_is_called_so(heard: Heard) -> None:
    """Where only the provider finds it: of one message there is no conversation."""
    model = ResilientModel(
        Scripted(ModelUnavailable(TOO_LONG, False, "400"), ModelUnavailable(TOO_LONG, False, "400")), "m"
    )
    with pytest.raises(ModelUnavailable, match=re.escape(MESSAGE_TOO_LONG)):
        await model.respond(TURN, heard)
    with pytest.raises(ModelUnavailable, match=re.escape(TOO_LONG)):
        await model.respond(evolve(TURN, items=(*TURN.items, MessageItem("assistant", "Hi"), *TURN.items)), heard)


async def test_what_a_provider_wishes_is_waited_for(autojump_clock: object, heard: Heard) -> None:
    """`retry_after_s` of the error replaces the backoff."""
    began = trio.current_time()
    await ask(ResilientModel(Scripted(ModelUnavailable("busy", True, "busy", 3.0), "Hello"), "m"), heard)
    assert trio.current_time() - began >= 3.0


async def test_five_failures_open_the_circuit(autojump_clock: object, heard: Heard) -> None:
    """Five failures open the circuit: calls fail at once with the time to retry; then one call probes the provider."""
    changes: list[CircuitChange] = []
    scripted = Scripted(GONE)
    model = ResilientModel(scripted, "m", changes.append)
    assert await ask(model, heard) == "gone"
    assert await ask(model, heard) == "circuit open"
    assert scripted.asked == 5
    assert [change.new for change in changes] == [CircuitState.OPEN]
    began = trio.current_time()
    with pytest.raises(ModelUnavailable) as caught:
        await model.respond(TURN, heard)
    assert (caught.value.message, caught.value.retryable) == (UNREACHABLE, True)
    assert 1.0 <= (caught.value.retry_after_s or 0) <= 1.2
    assert (trio.current_time(), scripted.asked) == (began, 5)
    scripted.steps = ["Hello"]
    await trio.sleep(1.2)
    assert await ask(model, heard) == "Hello"
    assert model.breaker.state is CircuitState.CLOSED


@pytest.mark.parametrize("error", ["a refused key", "said: before it was lost"])
async def test_a_provider_that_answers_is_not_away(autojump_clock: object, heard: Heard, error: str) -> None:
    """Errors of a provider that answers do not open the circuit."""
    model = ResilientModel(Scripted(ModelUnavailable("no", ":" in error, error)), "m")
    for _ in range(10):
        assert await ask(model, heard) == error
    assert model.breaker.state is CircuitState.CLOSED


async def test_the_first_word_is_enough_to_let_others_through(autojump_clock: object, heard: Heard) -> None:
    """The first text of the probing call closes the circuit, before its answer ends."""
    scripted = Scripted(*[GONE] * 5, "Hello")
    model = ResilientModel(scripted, "m")
    await ask(model, heard)
    await ask(model, heard)
    scripted.gate = trio.Event()
    await trio.sleep(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, model, heard)
        await trio.testing.wait_all_tasks_blocked()
        assert model.breaker.state is CircuitState.CLOSED
        scripted.gate.set()


async def test_a_cancelled_call_counts_neither_way(autojump_clock: object, heard: Heard) -> None:
    """A cancelled call is neither failure nor success; a cancelled probe lets the next call probe."""
    scripted = Scripted(*[GONE] * 5, "Hello")
    model = ResilientModel(scripted, "m")
    await ask(model, heard)
    await ask(model, heard)
    await trio.sleep(2)

    async def hang(turn: Turn, emit: Emit) -> Reply:
        await trio.sleep_forever()
        raise AssertionError

    respond: Callable[..., object] = scripted.respond
    scripted.respond = hang  # type: ignore[method-assign]
    with trio.move_on_after(1):
        await ask(model, heard)
    assert model.breaker.state is CircuitState.HALF_OPEN
    scripted.respond = respond  # type: ignore[method-assign, assignment]
    assert await ask(model, heard) == "Hello"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("99999", 3600.0), ("-1", None), ("nan", None), ("soon", None), ("", None)],
)
def test_a_wish_is_read_from_the_answer(header: str, seconds: float | None) -> None:
    """Retry-After is read in seconds within bounds; other values are ignored."""
    error = Exception()
    error.response = SimpleNamespace(headers={"retry-after": header})  # type: ignore[attr-defined]
    assert read_retry_after(error) == seconds
    assert read_retry_after(Exception()) is None


@pytest.mark.filterwarnings("ignore:Async generator '(httpx2|httpcore|openai):ResourceWarning")
@pytest.mark.blocking("the provider's package builds what it needs at its first request, for some 60 ms")
async def test_over_a_real_connection(provider: Provider, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """An overloaded provider is retried by ResilientModel only, after the time in its Retry-After header."""
    from understudy.models import resilient

    monkeypatch.setattr(resilient, "RETRY", resilient.Retry(3, Backoff(min_s=0.01, max_s=0.1), (ModelUnavailable,)))
    provider.scripts = [
        Script(status=503, error={"message": "overloaded"}),
        Script(status=503, error={"message": "overloaded"}),
        Script([text_chunk("Hello"), end_chunk("stop")]),
    ]
    client = OpenAIChat("tiny", api_key=KEY, base_url=provider.url, retries=0)
    try:
        with trio.fail_after(60):
            assert await ask(ResilientModel(client, "m"), heard) == "Hello"
    finally:
        await client.aclose()
    assert len(provider.requests) == 3


class Silent:
    """A provider that accepts requests and does not answer the first ones."""

    name, notice = "silent", ""

    def __init__(self, silent: int) -> None:
        self.silent = silent
        self.asked = 0

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Hang, or answer slowly once begun."""
        self.asked += 1
        if self.asked <= self.silent:
            await trio.sleep_forever()
        await emit(TextDelta("Hello"))
        await trio.sleep(9)
        return Reply("Hello")


async def test_a_provider_that_hangs_leaves_time_for_the_other_attempts(autojump_clock: object, heard: Heard) -> None:
    """Each attempt has its share of the run's time until its answer begins, and then all of it."""
    model = Silent(2)
    with trio.fail_after(60):
        assert (await ResilientModel(model, "m").respond(TURN, heard)).text == "Hello"
    assert model.asked == 3
