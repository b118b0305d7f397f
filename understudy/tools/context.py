"""The context of a tool call: the user for whom it runs, and the server's services that it may use."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import trio
from attrs import define, evolve, field, frozen

from understudy.tools.errors import QuestionDeclined
from understudy.tools.form import Question, form_question, read_answer
from understudy.tools.loop_call import Elsewhere
from understudy.tools.memory import TTL_S, Memory, Notebook
from understudy.tools.threads import WhileQueued
from understudy.wire.events import SanitizationSummary

T = TypeVar("T")

Asker: TypeAlias = Callable[[Question, Callable[[Mapping[str, Any]], object]], Awaitable[Mapping[str, Any]]]
"""Asks the user a question and returns the answer. The function checks it, and raises `Misfit` if it does not fit."""


@frozen
class StoredFile:
    """An uploaded file. `size` is in bytes; `path` is where its content can be read."""

    id: str
    name: str
    media_type: str
    size: int
    path: Path = field(repr=False)


class Files(Protocol):
    """The files of the user on whose behalf a tool runs."""

    async def get(self, file_id: str) -> StoredFile:
        """Return the file of that id. Raises LookupError if this user has none."""

    async def save(self, name: str, media_type: str, content: bytes) -> StoredFile:
        """Store a new file for this user. Raises ValueError if it is larger than the server accepts."""


class ServerView(Protocol):
    """The server's state, limited to the rights of the user for whom the tool runs."""

    def health(self) -> dict[str, Any]:
        """Return the server's health as JSON values; for most users only its `status`."""

    def tree(self) -> dict[str, Any]:
        """Return the supervision tree: path, type, state, depth, restarts, age_s, children (each the same).

        Raises `ToolError` (``forbidden``) if the user is no operator of the server.
        """

    def activity(self, minutes: int) -> dict[str, Any]:
        """Return the activity of the last minutes, at most 60: latencies, slow operations, outcomes, open work.

        `scope` is ``server`` for operators of the server, otherwise ``own``: the user's runs alone (for an operator of
        a tenant those of its users). `operations`: rows of operation, name, count, mean_ms, p50_ms, p95_ms, p99_ms,
        max_ms; `slowest`: operation, name, ms, ago_s; `outcomes`: ends of runs by ``success``, ``cancelled`` or error
        code; `open_runs`: run_id, silent_s, age_s, last_event; `runs`, `runs_waiting`, `connections`. For the whole
        server also `refused` and `failed_tools` (counts), `queues` (path, waiting) and `reads_waiting`.
        """

    def crashes(self, minutes: int) -> dict[str, Any]:
        """Return the failures of the last minutes: `restarts` (counts by path), `incidents` (ago_s, path, error,
        decision, error_id) and `unwell`, the parts whose health check is not ok.

        Raises `ToolError` (``forbidden``) if the user is no operator of the server.
        """


async def ask_nobody(question: Question, _check: Callable[[Mapping[str, Any]], object]) -> Mapping[str, Any]:
    """Decline the question of a call that has no user."""
    raise QuestionDeclined("forbidden", f"There is no user to be asked: {question.title}")


async def _show_nobody(_item: Any) -> None:
    await trio.lowlevel.checkpoint()


@define(eq=False)
class CallHandle:
    """A stored reference to a call's work on another server, by which the work is found again after a crash.

    `value` is the reference that this call, or an earlier attempt at it, has stored; None without one. `keep` returns
    once a value is committed. `given_up()`: the call is not wanted any more; else it may be resumed after a restart.
    """

    value: str | None
    keep: Callable[[str], Awaitable[None]] = field(repr=False)
    given_up: Callable[[], bool] = field(repr=False)


@frozen
class CallMeans:
    """Parts of a call's context for the server's own code, which tools do not use.

    `asker` asks the user, if the run is `attended`. `while_queued` is entered while the call waits for a worker thread.
    `handle` finds the call of an MCP server's tool again after a crash. `agents` returns descriptions of the agent and
    its colleagues, with the tools that the user may use.
    """

    asker: Asker = ask_nobody
    attended: bool = True
    while_queued: WhileQueued = nullcontext
    handle: CallHandle | None = None
    agents: Callable[[], Sequence[Any]] = tuple


@frozen
class ToolContext:
    """The user for whom a tool runs, and the means it may use.

    A parameter annotated with this class is filled in by the call and is not in the tool's schema.
    """

    owner: str
    """The user for whom the tool runs."""
    thread_id: str
    """The thread of the call."""
    run_id: str
    """The run of the call."""
    call_id: str
    """The call: an idempotency key, new for every call, but the same if one is repeated because its server died."""
    references: tuple[str, ...]
    """Ids of the files attached to the message."""
    files: Files = field(repr=False)
    """`await files.get(id)` gives a `StoredFile` of this user, or raises `LookupError`; `await files.save(name,
    media_type, content)` stores a new one and returns it. The user is shown it as a card, also if the tool fails after
    that: 20 of a call, 50 of an answer."""
    server: ServerView = field(repr=False)
    """`server.health()`, `server.tree()`, `server.activity(minutes)` and `server.crashes(minutes)`, as data, with the
    rights of the user. For most users health is `{"status"}` and activity that of their own runs; `tree()` and
    `crashes()` raise `ToolError` (`forbidden`) for all but operators of the server."""
    progress: Callable[[float, float | None, str], None] = field(repr=False)
    """`progress(done, total, note)` shows the user the progress; `total` may be None. Call it as often as you like: of
    a run one note each 100 ms is shown, and the last one of each call. In the thread of a sync tool it raises
    `trio.Cancelled` once the call was cancelled."""
    memory: Memory = field(factory=Notebook, repr=False)
    """The agent's memory of the user; `remember`, `recall` and `forget` are its methods."""
    roles: tuple[str, ...] = ()
    """The roles of the token that the user asked with; empty when a run goes on after a crash, as roles are not
    stored."""
    found: SanitizationSummary | None = None
    """Kinds, counts and places of what the server found in the message before it was stored, never the text; None if
    nothing."""
    state: Any = field(default=None, repr=False)
    """The value of the agent's lifespan; of the server's, if the agent has none."""
    show_partial: Callable[[Any], Awaitable[None]] = field(default=_show_nobody, repr=False)
    """`await show_partial(item)` shows the user an item of the result while the tool runs, and waits if these come too
    fast."""
    traceparent: str = ""
    """The header (W3C Trace Context) by which other servers' spans join the trace of the call; empty if the run is not
    traced."""
    means: CallMeans = field(factory=CallMeans, repr=False)
    """For the server."""

    @property
    def attended(self) -> bool:
        """False in the run of a schedule, when no user is there to answer."""
        return self.means.attended

    async def ask(self, form: type[T], *, title: str = "", text: str = "") -> T:
        """Ask the user for the fields of `form`, a class. Return an instance with the answer.

        `form` is an attrs class, a dataclass or a Pydantic model. The question is shown with `title` (by default the
        name of the class) and `text` (its docstring). The time limits of call and run are suspended meanwhile. A call
        that waits when its server dies is made again, and asks the same questions in the same order: so ask before you
        act. In a sync tool call `ask_from_thread`. The values of secret fields (`understudy.Secret`, Pydantic's
        `SecretStr`) are handed to the tool alone; as they are not stored, a call that is made again asks again.

        Raises:
            QuestionDeclined, QuestionExpired: There is no answer; both are kinds of `QuestionUnanswered`.
            ToolError: The question could not be stored, is blocked, or is one too many.
            TypeError: `form` has no schema.
        """
        answer = await self.means.asker(form_question(form, title, text), partial(read_answer, form))
        return read_answer(form, answer)

    def ask_from_thread(self, form: type[T], *, title: str = "", text: str = "") -> T:
        """Ask as `ask` does, from the thread of a sync tool. Raises what `ask` raises."""
        trio.from_thread.check_cancelled()
        answer = trio.from_thread.run(self.means.asker, form_question(form, title, text), partial(read_answer, form))
        return read_answer(form, answer)

    def elsewhere(self, on_server: Callable[..., Any], now_on_server: Callable[..., Any]) -> Self:
        """Return the context for the tools' loop: its methods run on the server's loop, by these functions."""
        return evolve(
            self,
            files=Elsewhere(on_server, self.files),
            memory=Elsewhere(on_server, self.memory),
            server=Elsewhere(now_on_server, self.server),
            show_partial=partial(on_server, self.show_partial),
            means=evolve(self.means, asker=partial(on_server, self.means.asker), while_queued=nullcontext, handle=None),
        )

    async def remember(self, name: str, value: Any, ttl_s: float = TTL_S) -> None:
        """Store a value (JSON of up to 8 KiB) for later runs of this agent for this user, for `ttl_s` seconds.

        It is sanitized like results. Raises `ToolError`: ``invalid_arguments``,
        ``message_too_large``, ``busy`` for the 51st value, ``content_blocked``, ``storage_unavailable``.
        """
        await self.memory.remember(name, value, ttl_s)

    async def recall(self, name: str) -> Any:
        """Return the value of that name; None if there is none, or it has expired. Raises `ToolError`."""
        return await self.memory.recall(name)

    async def forget(self, name: str) -> bool:
        """Delete a value. Return False if there was none. Raises `ToolError`, as `remember`."""
        return await self.memory.forget(name)
