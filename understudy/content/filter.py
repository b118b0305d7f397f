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
    Sanitized,
    Sanitizer,
    StreamSanitizer,
)
from transport.server.connection_limiter import Counter
from transport.wire.errors import CommandRejected
from understudy.content.encryption import TextCipher
from understudy.content.files import FileFilter
from understudy.content.summary import describe_blocked
from understudy.content.texts import FOREIGN, INLINE, sanitize_text, weigh_text
from understudy.content.values import SanitizedValue, chart_words, sanitize_value, weigh_value
from understudy.content.vault import ThreadPlaceholders, Vault
from understudy.observe.logs import new_error_id
from understudy.sandbox.run_local import thread_limiter

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


class ContentMetrics(Protocol):
    """Whoever counts what was found."""

    def record_sanitized(self, direction: str, findings: Iterable[Finding], omitted: int, seconds: float) -> None:
        """A text was looked through."""

    def record_detector_failure(self, direction: str, detector: str) -> None:
        """A detector could not do its work."""


@define(eq=False)
class ContentFilter:
    """Looks through texts by one policy, in three directions. Making one takes long: not for the loop.

    `detectors` are the operator's own, behind the built-in ones. `sealer` encrypts what users sent, where that is to be
    kept. `is_new(owner, thread_id)` says whether nothing was said in a thread yet; asked where the policy tokenises.
    """

    policy: Policy
    metrics: ContentMetrics
    detectors: Sequence[Detector] = ()
    cipher: TextCipher | None = None
    vault: Vault = field(factory=Vault)
    inbound: Sanitizer = field(init=False)
    tool: Sanitizer = field(init=False)
    outbound: Sanitizer = field(init=False)
    _chart_words: Sanitizer = field(init=False)
    _output_words: Sanitizer = field(init=False)
    _files: Sanitizer = field(init=False)
    _presets: dict[tuple[str, Direction], Sanitizer] = field(factory=dict, init=False)
    _long: Counter = field(factory=lambda: Counter(LONG_TEXTS), init=False)

    def __attrs_post_init__(self) -> None:
        self.inbound, self.tool, self.outbound = (
            self._build_sanitizer(self.policy, direction)
            for direction in (Direction.INBOUND, Direction.TOOL, Direction.OUTBOUND)
        )
        # What is shown as words, and is no page: markup does nothing there.
        tool, outbound = _no_markup(self.policy.tool), _no_markup(self.policy.outbound)
        words = evolve(self.policy, tool=tool, outbound=outbound)
        self._chart_words, self._output_words = (
            self._build_sanitizer(words, direction) for direction in (Direction.TOOL, Direction.OUTBOUND)
        )

        kept = {each: self.policy.inbound[each] for each in _STORED if each in self.policy.inbound}
        self._files = self._build_sanitizer(evolve(self.policy, inbound=kept), Direction.INBOUND)

    @property
    def tokenises(self) -> bool:
        """Whether anything that users send may get a placeholder."""
        return Action.TOKENISE in (*self.policy.inbound.values(), *self.policy.kinds.values())

    async def sanitizer(self, direction: Direction, preset: str | None = None) -> Sanitizer:
        """The sanitizer of a direction, by the policy of this name where one is named."""
        if preset is None:
            return {Direction.INBOUND: self.inbound, Direction.TOOL: self.tool}.get(direction, self.outbound)
        made = self._presets.get((preset, direction))
        if made is None:
            made = await trio.to_thread.run_sync(self._build_sanitizer, PRESETS[preset], direction)
            self._presets[preset, direction] = made
        return made

    def _build_sanitizer(self, policy: Policy, direction: Direction) -> Sanitizer:
        """A sanitizer that has looked at something: making its gates takes a tenth of a second, once."""
        sanitizer = Sanitizer(policy, direction, extra=self.detectors)
        sanitizer.sanitize(_FIRST)
        return sanitizer

    # what users send

    async def filter_message(self, owner: str, text: str, placeholders: Placeholders | None = None) -> Sanitized:
        """What of a user's message is stored, and what was found in it.

        Raises:
            CommandRejected: `content_blocked`: the policy, or a detector that failed, does not let it pass. As
                `sift` besides.
        """
        found = await self.filter_text(owner, text, self.inbound, placeholders)
        if found.blocked:
            raise CommandRejected("content_blocked", self.blocked_error("That was not taken", [found]).message)
        return found

    async def filter_context(self, value: Mapping[str, Any]) -> SanitizedValue:
        """Scrub the data that came with a user's message.

        Raises:
            CommandRejected: `content_blocked`: the policy does not let it pass.
        """
        clean = await self.filter_value(dict(value), self.inbound)
        if clean.blocked:
            raise CommandRejected("content_blocked", self.blocked_error("That was not taken", clean.texts).message)
        return clean

    async def filter_note(self, owner: str, text: str) -> str:
        """What is stored of something else that a user wrote: a title, a file's name, the reason for a decision.

        Raises:
            CommandRejected: As `message`.
        """
        return (await self.filter_message(owner, text)).text

    async def filter_text(
        self, owner: str, text: str, sanitizer: Sanitizer, placeholders: Placeholders | None = None
    ) -> Sanitized:
        """Look through a text of a user, short or long; the account of it, also when it is blocked.

        Raises:
            CommandRejected: `rate_limited`: several long texts of this user are being looked through.
                `message_too_large`: it takes too long. `busy`: its turn does not come.
        """
        began = time.perf_counter()
        if weigh_text(text) <= INLINE:
            found = sanitizer.sanitize(text, placeholders)
        elif self._long.enter(owner):
            try:
                found = await sanitize_text(text, sanitizer, placeholders)
            finally:
                self._long.leave(owner)
        else:
            raise CommandRejected("rate_limited", "Your earlier messages are still being looked through.", 2.0)
        self._count(sanitizer.direction, found, time.perf_counter() - began)
        return found

    def new_file_filter(self) -> FileFilter:
        """For one file that is to be stored, see `passing`."""
        return FileFilter(self._files, _limiter())

    async def filter_file(self, passage: FileFilter, source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """The bytes of a file as they are to be stored, and at its end the judgement; close it.

        Raises:
            CommandRejected: `content_blocked`: it may not be stored. `file_too_large`: see `Passage`.
        """
        async with aclosing(passage.chunks(source)) as chunks:
            async for chunk in chunks:
                yield chunk
        found = passage.result
        self._count(Direction.INBOUND, found, passage.seconds)
        if found.blocked:
            raise CommandRejected("content_blocked", self.blocked_error("That file was not taken", [found]).message)

    # what tools return, and what models write beside their answers

    async def filter_value(self, value: Any, sanitizer: Sanitizer) -> SanitizedValue:
        """A plain JSON value, sanitized; it may be blocked, then nothing of it may be used."""
        began = time.perf_counter()
        clean = await self._cleaned(value, sanitizer)
        self._count_value(clean, sanitizer, time.perf_counter() - began)
        return clean

    async def filter_result(self, value: Any, summary: str) -> tuple[SanitizedValue, str]:
        """What a tool gave, and the line that sums it up, sanitized; as `value`.

        The line mostly repeats the value, so what is found in it counts only where nothing is found in the value.
        """
        began = time.perf_counter()
        clean, line = await self._cleaned(value, self.tool), await self._cleaned(summary, self.tool)
        if not clean.texts or line.blocked:
            clean.texts += line.texts
        self._count_value(clean, self.tool, time.perf_counter() - began)
        return clean, str(line.value)

    async def _cleaned(self, value: Any, sanitizer: Sanitizer) -> SanitizedValue:
        if weigh_value(value) <= INLINE:
            return sanitize_value(value, sanitizer)
        return await trio.to_thread.run_sync(
            sanitize_value, value, sanitizer, abandon_on_cancel=True, limiter=_limiter()
        )

    async def filter_output(self, value: Any) -> Any:
        """What a model wrote beside its answer (a thought, arguments, a reason), as it is shown and stored.

        Raises:
            Blocked: Nothing of it may be shown.
        """
        clean = await self.filter_value(value, self._output_words)
        if clean.blocked:
            raise self.blocked_error("What the agent wrote is not shown", clean.texts)
        return clean.value

    async def filter_for_storage(self, value: Any) -> Any:
        """The same for what is only stored, and was or will be counted elsewhere; None when nothing of it may be."""
        clean = await self._cleaned(value, self._output_words)
        return None if clean.blocked else clean.value

    async def accepts_chart(self, chart: Mapping[str, Any]) -> bool:
        """Whether nothing that a chart shows would have to be taken out: a drawing cannot be sanitized."""
        words = chart_words(chart)
        clean = await self._cleaned(words, self._chart_words)
        return not clean.blocked and bool(clean.value == words)

    def filter_progress(self, note: str) -> str:
        """A word of a tool on its progress, as it is shown; empty when nothing of it may be."""
        began = time.perf_counter()
        found = self.tool.sanitize(note[: INLINE // FOREIGN])
        self._count(Direction.TOOL, found, time.perf_counter() - began)
        return found.text

    def blocked_error(self, what: str, texts: Sequence[Sanitized]) -> Blocked:
        """The error for texts that are not let pass; `what` begins its sentence. The log has why, under its id."""
        findings = [each for text in texts for each in text.findings]
        failures = [each for text in texts for each in text.failures]
        error_id = new_error_id()
        detectors = sorted({each.detector for each in failures})
        kinds = sorted({each.kind for each in findings if each.action is Action.BLOCK})
        log.warning("scrub.blocked", extra={"kinds": kinds, "failed": detectors, "error_id": error_id})
        if detectors and not kinds:
            return Blocked(f"{what}: it could not be looked through (error {error_id}).", error_id)
        return Blocked(f"{what}: it holds {describe_blocked(findings)}.", error_id)

    # answers

    def answer_stream(self) -> StreamSanitizer:
        """A sanitizer for one answer; `count` what it found at its end."""
        return self.outbound.stream()

    # accounts

    def record(
        self,
        direction: Direction,
        findings: Sequence[Finding],
        omitted: int,
        failures: Iterable[Failure],
        seconds: float,
    ) -> None:
        """Count what was found, and log the detectors that failed."""
        self.metrics.record_sanitized(direction.value, findings, omitted, seconds)
        for failure in failures:
            self.metrics.record_detector_failure(direction.value, failure.detector)
            extra = {
                "detector": failure.detector,
                "error": failure.error,
                "direction": direction.value,
                "failing": self.policy.failing.value,
                "error_id": new_error_id(),
            }
            log.error("scrub.detector_failed", extra=extra)

    def _count_value(self, clean: SanitizedValue, sanitizer: Sanitizer, seconds: float) -> None:
        failures = tuple(dict.fromkeys(failure for text in clean.texts for failure in text.failures))
        self.record(sanitizer.direction, clean.findings, clean.omitted, failures, seconds)

    def _count(self, direction: Direction, found: Sanitized, seconds: float) -> None:
        self.record(direction, found.findings, found.omitted, found.failures, seconds)

    # placeholders

    async def thread_placeholders(
        self, owner: str, thread_id: str, is_new: Callable[[], Any]
    ) -> ThreadPlaceholders | None:
        """Those for what a user says in a thread; None where the policy gives none.

        `is_new` is awaited to learn whether nothing was said in the thread yet.
        """
        if not self.tokenises:
            return None
        new = not self.vault.has(owner, thread_id) and await is_new()
        return self.vault.get_or_create(owner, thread_id, is_new=bool(new))


def _no_markup(rules: Rules) -> Rules:
    return {category: rules[category] for category in rules if category is not Category.MARKUP}
