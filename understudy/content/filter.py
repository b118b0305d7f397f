"""The server's content filter for every text of users, tools and models.

1. No text passes unfiltered: if a detector fails, the text is blocked or marked, by policy, and the failure is logged
   and counted.
2. Long texts are filtered in worker threads, short ones on the event loop.
3. Metrics and logs have kinds and places of findings, never the text.
"""

import codecs
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define, evolve, field

from sanitization import (
    PRESETS,
    Action,
    Category,
    CleanTexts,
    Detector,
    Direction,
    Placeholders,
    Policy,
    Rules,
    Sanitized,
    Sanitizer,
    StreamSanitizer,
)
from sanitization.policy_file import PolicyError, policy_from_toml
from transport.server.connection_limiter import Counter
from transport.wire.errors import CommandRejected
from understudy.content.summary import describe_blocked
from understudy.content.texts import (
    FOREIGN,
    INLINE,
    SanitizedValue,
    chart_words,
    sanitize_text,
    sanitize_value,
    weigh_text,
    weigh_value,
)
from understudy.content.vault import ThreadPlaceholders, Vault
from understudy.content.warmup import PLAIN, Warmup
from understudy.observe.finding_metrics import FindingMetrics
from understudy.observe.logs import new_error_id
from understudy.sandbox.limiters import thread_limiter

log = logging.getLogger(__name__)

LONG_TEXTS: Final = 3
"""Long texts of one user that are being filtered or wait for it; further ones are refused with `rate_limited`."""
THREADS: Final = 2
"""Worker threads for tool results and long pieces of models."""

MAX_NOTE: Final = INLINE // FOREIGN
"""Characters of a progress note; the rest is cut off."""

_STORED: Final = (Category.SECRET, Category.PII)
"""Categories for which files are scanned. Files are data, and should stay unchanged as far as possible."""

FILE_S: Final = 20.0
"""Seconds of scanning for one file; a file that takes longer is refused with `file_too_large`."""

# Bytes that no text has. Compressed data, images and UTF-16 have some in their first kilobytes.
_BINARY: Final = bytes(code for code in range(32) if chr(code) not in "\t\n\x0b\x0c\r\x1b")

_limiter: Final = thread_limiter("understudy.content.filter", THREADS)
_notes: Final = thread_limiter("understudy.content.filter.notes", 1)


class InvalidPolicy(ValueError):
    """The configured policy cannot be loaded; the message names the setting and the reason."""


def load_policy(name: str) -> Policy:
    """Load the policy of the setting `scrub_policy`: a preset's name, or the path of a TOML file.

    Raises:
        InvalidPolicy: There is no such preset or file, or the file has no policy.
    """
    if name in PRESETS:
        return PRESETS[name]
    setting = "scrub_policy (UNDERSTUDY_SCRUB_POLICY)"
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InvalidPolicy(
            f"{setting} must be standard, strict or off, or a file that can be read; {name!r} cannot ({reason})"
        ) from error
    try:
        return policy_from_toml(text)
    except PolicyError as error:
        raise InvalidPolicy(f"{setting} names {name}, which is no policy: {error}") from error


class Blocked(Exception):
    """A text of a model or a tool is blocked. `message` is a sentence for the user."""

    def __init__(self, message: str, error_id: str) -> None:
        super().__init__(message, error_id)
        self.message = message
        self.error_id = error_id

    def __str__(self) -> str:
        return self.message


def is_text(head: bytes) -> bool:
    """Return whether the beginning of a file looks like text in an encoding that extends ASCII."""
    return len(head.translate(None, _BINARY)) == len(head)


@define(eq=False)
class FileFilter:
    """Filters one file on its way to storage. `result` has the findings once the whole file has passed.

    Only secrets and personal data are redacted: files are never shown as text, and the parts that tools read of them
    are filtered on their way to the model.
    """

    sanitizer: Sanitizer
    limiter: trio.CapacityLimiter
    seconds: float = field(default=0.0, init=False)
    _stream: StreamSanitizer = field(init=False)
    # With `surrogateescape`, bytes that are not UTF-8 pass unchanged.
    _decoder: codecs.IncrementalDecoder = field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("surrogateescape"), init=False
    )

    def __attrs_post_init__(self) -> None:
        self._stream = self.sanitizer.stream()

    @property
    def result(self) -> Sanitized:
        """The findings so far."""
        return self._stream.result("")

    async def chunks(self, source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the file that may be stored. If `result` is blocked, it ends early, and nothing may be.

        Raises:
            CommandRejected: `file_too_large`: scanning takes too long.
        """
        text = None
        async for chunk in source:
            if text is None:
                text = is_text(chunk)
            if not text:
                yield chunk
                continue
            yield await self._pass(chunk, last=False)
            if self._stream.blocked:
                return
        if text:
            yield await self._pass(b"", last=True)

    async def _pass(self, chunk: bytes, *, last: bool) -> bytes:
        out = await trio.to_thread.run_sync(self._sanitize, chunk, last, limiter=self.limiter)
        if self.seconds > FILE_S:
            raise CommandRejected("file_too_large", "That file takes too long to scan.")
        return out

    def _sanitize(self, chunk: bytes, last: bool) -> bytes:
        began = time.perf_counter()
        out = self._stream.feed(self._decoder.decode(chunk, last))
        if last:
            out += self._stream.flush()
        self.seconds += time.perf_counter() - began
        return out.encode("utf-8", "surrogateescape")


@define(eq=False)
class ContentFilter:
    """Filters texts by one policy, in three directions. The first text takes long: see `warmup`.

    `detectors` are the operator's own, which run after the built-in ones. `tokenises`: placeholders may replace texts
    of users. `outbound.stream()` filters one answer; the caller passes its findings to `record` at the end.
    """

    policy: Policy
    metrics: FindingMetrics
    detectors: Sequence[Detector] = ()
    vault: Vault = field(factory=Vault)
    inbound: Sanitizer = field(init=False)
    tool: Sanitizer = field(init=False)
    outbound: Sanitizer = field(init=False)
    tokenises: bool = field(init=False)
    warmup: Warmup = field(init=False)
    _chart_words: Sanitizer = field(init=False)
    _output_words: Sanitizer = field(init=False)
    _files: Sanitizer = field(init=False)
    _presets: dict[tuple[str, Direction], Sanitizer] = field(factory=dict, init=False)
    _clean: CleanTexts = field(factory=CleanTexts, init=False)
    _long: Counter = field(factory=lambda: Counter(LONG_TEXTS), init=False)

    def __attrs_post_init__(self) -> None:
        self.inbound, self.tool, self.outbound = (
            self._build_sanitizer(self.policy, direction, self._clean)
            for direction in (Direction.INBOUND, Direction.TOOL, Direction.OUTBOUND)
        )
        self.tokenises = Action.TOKENISE in (*self.policy.inbound.values(), *self.policy.kinds.values())
        # Plain text is not rendered as a page, so markup has no effect there.
        tool: Rules = {kind: action for kind, action in self.policy.tool.items() if kind is not Category.MARKUP}
        outbound: Rules = {kind: action for kind, action in self.policy.outbound.items() if kind is not Category.MARKUP}
        words = evolve(self.policy, tool=tool, outbound=outbound)
        self._chart_words, self._output_words = (
            self._build_sanitizer(words, direction, self._clean) for direction in (Direction.TOOL, Direction.OUTBOUND)
        )
        stored = {category: self.policy.inbound[category] for category in _STORED if category in self.policy.inbound}
        self._files = self._build_sanitizer(evolve(self.policy, inbound=stored), Direction.INBOUND, self._clean)
        sanitizers = self.inbound, self.tool, self.outbound, self._chart_words, self._output_words, self._files
        self.warmup = Warmup(sanitizers)

    async def sanitizer(self, direction: Direction, preset: str | None = None) -> Sanitizer:
        """Return the sanitizer of a direction, by the server's policy or the named preset."""
        if preset is None:
            return {Direction.INBOUND: self.inbound, Direction.TOOL: self.tool}.get(direction, self.outbound)
        sanitizer = self._presets.get((preset, direction))
        if sanitizer is None:
            sanitizer = self._build_sanitizer(PRESETS[preset], direction, CleanTexts())
            await trio.to_thread.run_sync(sanitizer.sanitize, PLAIN)
            self._presets[preset, direction] = sanitizer
        return sanitizer

    def _build_sanitizer(self, policy: Policy, direction: Direction, clean: CleanTexts) -> Sanitizer:
        return Sanitizer(policy, direction, extra=self.detectors, clean=clean)

    # texts of users

    async def filter_message(self, owner: str, text: str, placeholders: Placeholders | None = None) -> Sanitized:
        """Filter a user's message before it is stored. Return the text and its findings.

        Raises:
            CommandRejected: `content_blocked`: the policy, or a failed detector, blocks it; or see `filter_text`.
        """
        sanitized = await self.filter_text(owner, text, self.inbound, placeholders)
        if sanitized.blocked:
            raise CommandRejected("content_blocked", self.blocked_error("That was not taken", [sanitized]).message)
        return sanitized

    async def filter_context(self, value: Mapping[str, Any]) -> SanitizedValue:
        """Filter the data that came with a user's message.

        Raises:
            CommandRejected: `content_blocked`: the policy blocks the data.
        """
        clean = await self.filter_value(dict(value), self.inbound)
        if clean.blocked:
            raise CommandRejected("content_blocked", self.blocked_error("That was not taken", clean.texts).message)
        return clean

    async def filter_note(self, owner: str, text: str) -> str:
        """Filter another text of a user before it is stored: a title, a file's name, the reason for a decision.

        Raises:
            CommandRejected: See `filter_message`.
        """
        return (await self.filter_message(owner, text)).text

    async def filter_text(
        self, owner: str, text: str, sanitizer: Sanitizer, placeholders: Placeholders | None = None
    ) -> Sanitized:
        """Filter a user's text, short or long, and record the findings. The result may be blocked.

        Raises:
            CommandRejected: `rate_limited`: several long texts of this user are being filtered.
                `message_too_large`: the text takes too long. `busy`: no worker was free in time.
        """
        await self.warmup.finished()
        if weigh_text(text) <= INLINE:
            sanitized = sanitizer.sanitize(text, placeholders)
        elif self._long.enter(owner):
            try:
                sanitized = await sanitize_text(text, sanitizer, placeholders, owner=owner)
            finally:
                self._long.leave(owner)
        else:
            raise CommandRejected("rate_limited", "Your earlier messages are still being scanned.", 2.0)
        self.record(sanitizer.direction, sanitized)
        return sanitized

    def new_file_filter(self) -> FileFilter:
        """Return the filter for one file, for `filter_file`."""
        return FileFilter(self._files, _limiter())

    async def filter_file(self, file_filter: FileFilter, source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file that may be stored, and record the findings. The caller must close the generator.

        Raises:
            CommandRejected: `content_blocked`: the file may not be stored. `file_too_large`: scanning takes too long.
        """
        async with aclosing(file_filter.chunks(source)) as chunks:
            async for chunk in chunks:
                yield chunk
        result = file_filter.result
        self.record(Direction.INBOUND, result)
        if result.blocked:
            raise CommandRejected("content_blocked", self.blocked_error("That file was not taken", [result]).message)

    # results of tools, and outputs of models other than answers

    async def filter_value(self, value: Any, sanitizer: Sanitizer, *, record: bool = True) -> SanitizedValue:
        """Filter a plain JSON value. If the result is blocked, nothing of it may be used."""
        if weigh_value(value) <= INLINE:
            clean = sanitize_value(value, sanitizer)
        else:
            clean = await trio.to_thread.run_sync(
                sanitize_value, value, sanitizer, abandon_on_cancel=True, limiter=_limiter()
            )
        if record:
            self.record(sanitizer.direction, clean)
        return clean

    async def filter_result(self, value: Any, summary: str) -> tuple[SanitizedValue, str]:
        """Filter a tool's result and its summary line.

        The line usually repeats the value, so its findings count only if the value has none, or the line is blocked.
        """
        clean = await self.filter_value(value, self.tool, record=False)
        line = await self.filter_value(summary, self.tool, record=False)
        if line.texts and (line.blocked or not clean.texts):
            clean = clean.including(line.texts)
        self.record(Direction.TOOL, clean)
        return clean, str(line.value)

    async def filter_output(self, value: Any) -> Any:
        """Filter an output of a model other than its answer (a thought, arguments, a reason) before it is shown.

        Raises:
            Blocked: Nothing of it may be shown.
        """
        clean = await self.filter_value(value, self._output_words)
        if clean.blocked:
            raise self.blocked_error("What the agent wrote is not shown", clean.texts)
        return clean.value

    async def filter_for_storage(self, value: Any) -> Any:
        """Filter a model's output that is only stored, without recording its findings; None if it is blocked."""
        clean = await self.filter_value(value, self._output_words, record=False)
        return None if clean.blocked else clean.value

    async def accepts_chart(self, chart: Mapping[str, Any]) -> bool:
        """Return whether the visible words of a chart need no redaction, because a drawing cannot be redacted."""
        words = chart_words(chart)
        clean = await self.filter_value(words, self._chart_words, record=False)
        return not clean.blocked and bool(clean.value == words)

    async def filter_progress(self, note: str) -> str:
        """Filter a tool's progress note, cut to a bound; empty if it is blocked.

        Even a short note is filtered in a worker thread: while a tool computes, each call of a scan into RE2 waits for
        the interpreter's lock, up to 100 ms in all as measured.
        """
        sanitized = await trio.to_thread.run_sync(
            self.tool.sanitize, note[:MAX_NOTE], abandon_on_cancel=True, limiter=_notes()
        )
        self.record(Direction.TOOL, sanitized)
        return sanitized.text

    def blocked_error(self, what: str, texts: Sequence[Sanitized]) -> Blocked:
        """Log why texts are blocked. Return the error for the user, whose sentence begins with `what`."""
        findings = [finding for text in texts for finding in text.findings]
        failures = [failure for text in texts for failure in text.failures]
        error_id = new_error_id()
        detectors = sorted({failure.detector for failure in failures})
        kinds = sorted({finding.kind for finding in findings if finding.action is Action.BLOCK})
        log.warning("scrub.blocked", extra={"kinds": kinds, "failed": detectors, "error_id": error_id})
        if detectors and not kinds:
            return Blocked(f"{what}: it could not be scanned (error {error_id}).", error_id)
        return Blocked(f"{what}: it holds {describe_blocked(findings)}.", error_id)

    def record(self, direction: Direction, result: Sanitized | SanitizedValue) -> None:
        """Count the findings of a text or value, and log the detectors that failed."""
        if result.findings or result.omitted:
            self.metrics.record_sanitized(direction.value, result.findings, result.omitted)
        for failure in result.failures:
            self.metrics.record_detector_failure(direction.value, failure.detector)
            extra = {
                "detector": failure.detector,
                "error": failure.error,
                "direction": direction.value,
                "failing": self.policy.failing.value,
                "error_id": new_error_id(),
            }
            log.error("scrub.detector_failed", extra=extra)

    # placeholders

    async def thread_placeholders(
        self, owner: str, thread_id: str, is_new: Callable[[], Any]
    ) -> ThreadPlaceholders | None:
        """Return the placeholders of a thread; None if the policy assigns none.

        `is_new` is awaited to find out whether the thread has no message yet.
        """
        if not self.tokenises:
            return None
        has_no_message = not self.vault.has(owner, thread_id) and await is_new()
        return self.vault.get_or_create(owner, thread_id, is_new=bool(has_no_message))
