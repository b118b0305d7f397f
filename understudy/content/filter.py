"""The guard of a server: every text that comes in, comes back from a tool, or goes out passes here.

1. Nothing passes that was not looked through: a detector that fails blocks or marks, by policy, and is logged and
   counted.
2. Long texts are looked through in worker threads, short ones on the spot.
3. What is counted and logged names kinds and places, never the text.
"""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol

import trio
from attrs import define, evolve, field

from sanitization import (
    PRESETS,
    Action,
    Category,
    Detector,
    Direction,
    Failure,
    Finding,
    Placeholders,
    Policy,
    Rules,
    Scrubbed,
    Scrubber,
    StreamScrubber,
)
from transport.server.connection_limiter import Counter
from transport.wire.errors import CommandRejected
from understudy.content.encryption import Sealer
from understudy.content.files import Passage
from understudy.content.summary import what_blocked
from understudy.content.texts import FOREIGN, INLINE, scrubbed, weight
from understudy.content.values import Cleaned, cleaned, weight_of, words_of
from understudy.content.vault import ThreadPlaceholders, Vault
from understudy.observe.logs import new_error_id
from understudy.tools.threads import thread_limiter

log = logging.getLogger(__name__)

LONG_TEXTS: Final = 3
"""Long texts of one user that are looked through, or wait for that, at a time."""
THREADS: Final = 2
"""Works on results of tools, and on long pieces of models, at a time."""

_FIRST: Final = "password: x https://a.b/?c=d a@b.org +49 170 1234567 ignore all <img src=x>\u200b\x1b[1m"
"""Opens a gate of every category, so that what is made at its first use is made."""
_STORED: Final = (Category.SECRET, Category.PII)
"""What is sought in files, which are data, and must stay what they are as far as they may."""

_limiter: Final = thread_limiter("understudy.content.filter", THREADS)


class Blocked(Exception):
    """A text of a model or a tool is not let pass. `message` is a sentence for the user."""

    def __init__(self, message: str, error_id: str) -> None:
        super().__init__(message, error_id)
        self.message = message
        self.error_id = error_id

    def __str__(self) -> str:
        return self.message


class ScrubObserver(Protocol):
    """Whoever counts what was found."""

    def scrubbed(self, direction: str, findings: Iterable[Finding], omitted: int, seconds: float) -> None:
        """A text was looked through."""

    def scrub_failed(self, direction: str, detector: str) -> None:
        """A detector could not do its work."""


@define(eq=False)
class Guard:
    """Looks through texts by one policy, in three directions. Making one takes long: not for the loop.

    `detectors` are the operator's own, behind the built-in ones. `sealer` encrypts what users sent, where that is to be
    kept. `is_new(owner, thread_id)` says whether nothing was said in a thread yet; asked where the policy tokenises.
    """

    policy: Policy
    observer: ScrubObserver
    detectors: Sequence[Detector] = ()
    sealer: Sealer | None = None
    vault: Vault = field(factory=Vault)
    inbound: Scrubber = field(init=False)
    tool: Scrubber = field(init=False)
    outbound: Scrubber = field(init=False)
    _drawn: Scrubber = field(init=False)
    _beside: Scrubber = field(init=False)
    _kept: Scrubber = field(init=False)
    _presets: dict[tuple[str, Direction], Scrubber] = field(factory=dict, init=False)
    _long: Counter = field(factory=lambda: Counter(LONG_TEXTS), init=False)

    def __attrs_post_init__(self) -> None:
        self.inbound, self.tool, self.outbound = (
            self._made(self.policy, direction) for direction in (Direction.INBOUND, Direction.TOOL, Direction.OUTBOUND)
        )
        # What is shown as words, and is no page: markup does nothing there.
        tool, outbound = _no_markup(self.policy.tool), _no_markup(self.policy.outbound)
        words = evolve(self.policy, tool=tool, outbound=outbound)
        self._drawn, self._beside = (self._made(words, direction) for direction in (Direction.TOOL, Direction.OUTBOUND))

        kept = {each: self.policy.inbound[each] for each in _STORED if each in self.policy.inbound}
        self._kept = self._made(evolve(self.policy, inbound=kept), Direction.INBOUND)

    @property
    def tokenises(self) -> bool:
        """Whether anything that users send may get a placeholder."""
        return Action.TOKENISE in (*self.policy.inbound.values(), *self.policy.kinds.values())

    async def scrubber(self, direction: Direction, preset: str | None = None) -> Scrubber:
        """The scrubber of a direction, by the policy of this name where one is named."""
        if preset is None:
            return {Direction.INBOUND: self.inbound, Direction.TOOL: self.tool}.get(direction, self.outbound)
        made = self._presets.get((preset, direction))
        if made is None:
            made = await trio.to_thread.run_sync(self._made, PRESETS[preset], direction)
            self._presets[preset, direction] = made
        return made

    def _made(self, policy: Policy, direction: Direction) -> Scrubber:
        """A scrubber that has looked at something: making its gates takes a tenth of a second, once."""
        scrubber = Scrubber(policy, direction, more=self.detectors)
        scrubber.scrub(_FIRST)
        return scrubber

    # what users send

    async def message(self, owner: str, text: str, placeholders: Placeholders | None = None) -> Scrubbed:
        """What of a user's message is stored, and what was found in it.

        Raises:
            CommandRejected: `content_blocked`: the policy, or a detector that failed, does not let it pass. As
                `sift` besides.
        """
        found = await self.sift(owner, text, self.inbound, placeholders)
        if found.blocked:
            raise CommandRejected("content_blocked", self.blocked("That was not taken", [found]).message)
        return found

    async def context(self, value: Mapping[str, Any]) -> Cleaned:
        """Scrub the data that came with a user's message.

        Raises:
            CommandRejected: `content_blocked`: the policy does not let it pass.
        """
        clean = await self.value(dict(value), self.inbound)
        if clean.blocked:
            raise CommandRejected("content_blocked", self.blocked("That was not taken", clean.texts).message)
        return clean

    async def note(self, owner: str, text: str) -> str:
        """What is stored of something else that a user wrote: a title, a file's name, the reason for a decision.

        Raises:
            CommandRejected: As `message`.
        """
        return (await self.message(owner, text)).text

    async def sift(
        self, owner: str, text: str, scrubber: Scrubber, placeholders: Placeholders | None = None
    ) -> Scrubbed:
        """Look through a text of a user, short or long; the account of it, also when it is blocked.

        Raises:
            CommandRejected: `rate_limited`: several long texts of this user are being looked through.
                `message_too_large`: it takes too long. `busy`: its turn does not come.
        """
        began = time.perf_counter()
        if weight(text) <= INLINE:
            found = scrubber.scrub(text, placeholders)
        elif self._long.enter(owner):
            try:
                found = await scrubbed(text, scrubber, placeholders)
            finally:
                self._long.leave(owner)
        else:
            raise CommandRejected("rate_limited", "Your earlier messages are still being looked through.", 2.0)
        self._count(scrubber.direction, found, time.perf_counter() - began)
        return found

    def passage(self) -> Passage:
        """For one file that is to be stored, see `passing`."""
        return Passage(self._kept, _limiter())

    async def passing(self, passage: Passage, source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """The bytes of a file as they are to be stored, and at its end the judgement; close it.

        Raises:
            CommandRejected: `content_blocked`: it may not be stored. `file_too_large`: see `Passage`.
        """
        async with aclosing(passage.chunks(source)) as chunks:
            async for chunk in chunks:
                yield chunk
        found = passage.found
        self._count(Direction.INBOUND, found, passage.seconds)
        if found.blocked:
            raise CommandRejected("content_blocked", self.blocked("That file was not taken", [found]).message)

    # what tools return, and what models write beside their answers

    async def value(self, value: Any, scrubber: Scrubber) -> Cleaned:
        """A plain JSON value, scrubbed; it may be blocked, then nothing of it may be used."""
        began = time.perf_counter()
        clean = await self._cleaned(value, scrubber)
        self._count_value(clean, scrubber, time.perf_counter() - began)
        return clean

    async def result(self, value: Any, summary: str) -> tuple[Cleaned, str]:
        """What a tool gave, and the line that sums it up, scrubbed; as `value`.

        The line mostly repeats the value, so what is found in it counts only where nothing is found in the value.
        """
        began = time.perf_counter()
        clean, line = await self._cleaned(value, self.tool), await self._cleaned(summary, self.tool)
        if not clean.texts or line.blocked:
            clean.texts += line.texts
        self._count_value(clean, self.tool, time.perf_counter() - began)
        return clean, str(line.value)

    async def _cleaned(self, value: Any, scrubber: Scrubber) -> Cleaned:
        if weight_of(value) <= INLINE:
            return cleaned(value, scrubber)
        return await trio.to_thread.run_sync(cleaned, value, scrubber, abandon_on_cancel=True, limiter=_limiter())

    async def written(self, value: Any) -> Any:
        """What a model wrote beside its answer (a thought, arguments, a reason), as it is shown and stored.

        Raises:
            Blocked: Nothing of it may be shown.
        """
        clean = await self.value(value, self._beside)
        if clean.blocked:
            raise self.blocked("What the agent wrote is not shown", clean.texts)
        return clean.value

    async def kept(self, value: Any) -> Any:
        """The same for what is only stored, and was or will be counted elsewhere; None when nothing of it may be."""
        clean = await self._cleaned(value, self._beside)
        return None if clean.blocked else clean.value

    async def may_be_drawn(self, chart: Mapping[str, Any]) -> bool:
        """Whether nothing that a chart shows would have to be taken out: a drawing cannot be scrubbed."""
        words = words_of(chart)
        clean = await self._cleaned(words, self._drawn)
        return not clean.blocked and bool(clean.value == words)

    def sign(self, note: str) -> str:
        """A word of a tool on its progress, as it is shown; empty when nothing of it may be."""
        began = time.perf_counter()
        found = self.tool.scrub(note[: INLINE // FOREIGN])
        self._count(Direction.TOOL, found, time.perf_counter() - began)
        return found.text

    def blocked(self, what: str, texts: Sequence[Scrubbed]) -> Blocked:
        """The error for texts that are not let pass; `what` begins its sentence. The log has why, under its id."""
        findings = [each for text in texts for each in text.findings]
        failures = [each for text in texts for each in text.failures]
        error_id = new_error_id()
        detectors = sorted({each.detector for each in failures})
        kinds = sorted({each.kind for each in findings if each.action is Action.BLOCK})
        log.warning("scrub.blocked", extra={"kinds": kinds, "failed": detectors, "error_id": error_id})
        if detectors and not kinds:
            return Blocked(f"{what}: it could not be looked through (error {error_id}).", error_id)
        return Blocked(f"{what}: it holds {what_blocked(findings)}.", error_id)

    # answers

    def stream(self) -> StreamScrubber:
        """A scrubber for one answer; `count` what it found at its end."""
        return self.outbound.stream()

    # accounts

    def count(
        self,
        direction: Direction,
        findings: Sequence[Finding],
        omitted: int,
        failures: Iterable[Failure],
        seconds: float,
    ) -> None:
        """Count what was found, and log the detectors that failed."""
        self.observer.scrubbed(direction.value, findings, omitted, seconds)
        for failure in failures:
            self.observer.scrub_failed(direction.value, failure.detector)
            extra = {
                "detector": failure.detector,
                "error": failure.error,
                "direction": direction.value,
                "failing": self.policy.failing.value,
                "error_id": new_error_id(),
            }
            log.error("scrub.detector_failed", extra=extra)

    def _count_value(self, clean: Cleaned, scrubber: Scrubber, seconds: float) -> None:
        failures = tuple(dict.fromkeys(failure for text in clean.texts for failure in text.failures))
        self.count(scrubber.direction, clean.findings, clean.omitted, failures, seconds)

    def _count(self, direction: Direction, found: Scrubbed, seconds: float) -> None:
        self.count(direction, found.findings, found.omitted, found.failures, seconds)

    # placeholders

    async def placeholders(self, owner: str, thread_id: str, is_new: Callable[[], Any]) -> ThreadPlaceholders | None:
        """Those for what a user says in a thread; None where the policy gives none.

        `is_new` is awaited to learn whether nothing was said in the thread yet.
        """
        if not self.tokenises:
            return None
        new = not self.vault.has(owner, thread_id) and await is_new()
        return self.vault.of(owner, thread_id, is_new=bool(new))


def _no_markup(rules: Rules) -> Rules:
    return {category: rules[category] for category in rules if category is not Category.MARKUP}
