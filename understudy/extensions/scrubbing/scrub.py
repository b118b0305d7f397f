"""`understudy scrub`: sanitizes a file or a pipe as it is read, and reports the findings on standard error.

Memory does not grow with the length of the input or of its lines. Bytes that are not UTF-8 pass unchanged.
"""

import codecs
import json
import os
import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from attrs import define, evolve, field

from sanitization import Action, Direction, Failure, Finding, Placeholders, Policy, Sanitizer, StreamSanitizer
from understudy.cli.output import one_line

CHUNK: Final = 64 * 1024
"""Bytes of one read: the capacity of a Linux pipe."""
MAX_HTML: Final = 32 * 1024 * 1024
"""Limit of bytes of an HTML input, which is parsed as a whole; a larger one is refused."""
WINDOW: Final = 4 * CHUNK
"""Characters before the end in which a new finding may start: more than a chunk and the text that detectors hold
back."""
STDIN: Final = "-"
SIGPIPE_STATUS: Final = 141
"""Exit status of a program whose reader closed the pipe, as shells show it: 128 plus the number of SIGPIPE."""
SIGINT_STATUS: Final = 130
"""Exit status of a program that Ctrl-C ended, as shells show it."""

_BOM: Final = "\ufeff"
_BYTES: Final = "".join(map(chr, range(0xDC80, 0xDD00)))  # bytes that are not UTF-8, as `surrogateescape` decodes them
_ESCAPED: Final = re.compile(f"[{_BYTES}]+")
_JOINS_AFTER: Final = 3  # bytes that a next one may complete to a character, which has at most four


class CannotScrub(Exception):
    """A file cannot be read, or the output cannot be written; the text says which and why."""


class LineIndex:
    """Finds line and column, from 1, of positions in the last `window` characters of a streamed text."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._starts = [0]
        self._before = 0  # number of lines whose starts are forgotten
        self._length = 0

    def feed(self, text: str) -> None:
        """Add the next piece of the text."""
        starts, length = self._starts, self._length
        newline = text.find("\n") + 1
        while newline:
            starts.append(length + newline)
            newline = text.find("\n", newline) + 1
        self._length += len(text)
        old = bisect_right(starts, self._length - self._window) - 1
        if old > 0:
            del starts[:old]
            self._before += old

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of the character at `offset`."""
        row = max(0, bisect_right(self._starts, offset) - 1)
        return self._before + row + 1, offset - self._starts[row] + 1


class PassthroughEncoder:
    """Encodes text to bytes. Bytes that were not UTF-8 are written unchanged, unless they would form a character.

    Text between two such bytes may have been removed, so that the two would form a character that was never scanned.
    They become U+FFFD instead.
    """

    def __init__(self) -> None:
        self._held = ""

    def encode(self, text: str, *, final: bool = False) -> bytes:
        """Encode the text, but hold back trailing bytes that later ones may complete; with `final` encode these too."""
        text, self._held = self._held + text, ""
        if text.isascii():
            return text.encode()
        text = _ESCAPED.sub(_replace_joined, text)
        if not final:
            cut = max(len(text.rstrip(_BYTES)), len(text) - _JOINS_AFTER)
            text, self._held = text[:cut], text[cut:]
        return text.encode("utf-8", "surrogateescape")


def _replace_joined(run: re.Match[str]) -> str:
    joined = run[0].encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    if joined == run[0]:
        return joined
    return "".join(character if character in _BYTES else "\ufffd" * len(character.encode()) for character in joined)


@define
class FileReport:
    """The findings in one file, each with line and column, and in `found` their total number."""

    name: str
    positions: dict[Finding, tuple[int, int]] = field(factory=dict)
    found: int = 0
    blocked: bool = False
    failures: tuple[Failure, ...] = ()

    @property
    def shown(self) -> str:
        """The file's name with control characters neutralised."""
        return one_line(self.name)

    @property
    def omitted(self) -> int:
        """The number of findings beyond the policy's maximum."""
        return self.found - len(self.positions)

    def add_findings(self, findings: Iterable[Finding], lines: LineIndex) -> None:
        """Add the new ones among these findings, with their positions."""
        for finding in findings:
            if finding not in self.positions:
                self.positions[finding] = lines.position(finding.start)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the findings as plain data in the order of the text, without any of the text."""
        for position in sorted(self.positions, key=lambda finding: (finding.start, finding.end)):
            line, column = self.positions[position]
            yield {
                "file": self.name, "line": line, "column": column, "start": position.start, "end": position.end,
                "kind": position.kind, "category": position.category.value, "action": position.action.value,
                "score": position.score, "detector": position.detector, "reasons": list(position.reasons),
            }  # fmt: skip


@define
class ScrubCommand:
    """One run of the command. `check` writes the positions of findings instead of the text."""

    policy: Policy
    direction: Direction
    check: bool = False
    as_json: bool = False
    html: bool = False
    _placeholders: Placeholders = field(factory=Placeholders, init=False)

    def run(self, names: Sequence[str]) -> int:
        """Process the files in order; `-` is standard input. Return the exit code.

        0: done (with `check`: without findings). 1: findings (with `check`), or the policy blocked a text, as it also
        does if a detector fails. 2: a file cannot be read, or the output cannot be written.
        """
        status = 0
        try:
            for name in names:
                report = self._scrub_html(name) if self.html else self._scrub_text(name)
                self._report(report)
                if report.blocked or (self.check and report.found):
                    status = 1
        except BrokenPipeError:
            return SIGPIPE_STATUS
        except KeyboardInterrupt:
            return SIGINT_STATUS
        except CannotScrub as error:
            _print_error(str(error))
            return 2
        return status

    def _scrub_text(self, name: str) -> FileReport:
        report, lines, encoder = FileReport(name), LineIndex(), PassthroughEncoder()
        # In other texts lone surrogates are findings; here they stand for bytes, which pass unchanged.
        policy = evolve(self.policy, allow=self.policy.allow | set(_BYTES))
        stream = Sanitizer(policy, self.direction).stream(self._placeholders)
        with _open_input(name) as read:
            for number, text in enumerate(_decode(read)):
                if number == 0 and text == _BOM:  # a byte order mark marks UTF-8, and is no hidden character
                    self._write_text(_BOM.encode())
                    continue
                lines.feed(text)
                self._write_text(encoder.encode(stream.feed(text)))
                self._update_report(report, stream, lines)
        self._write_text(encoder.encode(stream.flush(), final=True))
        self._update_report(report, stream, lines)
        report.blocked, report.failures = stream.blocked, stream.failures
        return report

    def _update_report(self, report: FileReport, stream: StreamSanitizer, lines: LineIndex) -> None:
        if stream.found > report.found:
            report.found = stream.found
            if len(report.positions) < self.policy.max_findings:
                report.add_findings(stream.findings, lines)

    def _scrub_html(self, name: str) -> FileReport:
        with _open_input(name) as read:
            chunks, size = [read()], 0
            while chunks[-1]:
                size += len(chunks[-1])
                if size > MAX_HTML:
                    raise CannotScrub(f"{one_line(name)} is too large for --html, which takes {MAX_HTML >> 20} MiB")
                chunks.append(read())
        html = b"".join(chunks).decode("utf-8", "replace")
        page = Sanitizer(self.policy, self.direction).sanitize_html(html)
        self._write_text(page.text.encode("utf-8", "replace"))
        report = FileReport(name, {}, len(page.findings) + page.omitted, page.blocked, page.failures)
        lines = LineIndex(window=len(html))
        lines.feed(html)
        report.add_findings(page.findings, lines)
        return report

    def _write_text(self, data: bytes) -> None:
        if not self.check:
            _write(1, data)

    def _report(self, report: FileReport) -> None:
        """Report the findings: with `check` on standard output, otherwise on standard error."""
        if self.as_json:
            rows = [*report.rows()]
            if report.omitted or report.blocked:
                rows.append({"file": report.name, "omitted": report.omitted, "blocked": report.blocked})
            _write(1 if self.check else 2, "".join(json.dumps(row) + "\n" for row in rows).encode())
            return
        if self.check:
            places = [f"{report.shown}:{row['line']}:{row['column']}: {row['kind']}\n" for row in report.rows()]
            _write(1, "".join(places).encode("utf-8", "replace"))
        for sentence in _summarise(report, counts=not self.check):
            _print_error(sentence if report.name == STDIN else f"{report.shown}: {sentence}")


def _summarise(report: FileReport, *, counts: bool) -> Iterator[str]:
    """Yield sentences about a file: how many of which kind were redacted or only found, and failed detectors."""
    if counts and report.positions:
        flagged = [position.kind for position in report.positions if position.action is Action.FLAG]
        removed = [position.kind for position in report.positions if position.action is not Action.FLAG]
        yield "; ".join(
            f"{words} {', '.join(f'{kind} ({number})' for kind, number in _by_number(kinds))}"
            for words, kinds in (("redacted:", removed), ("found, not redacted:", flagged))
            if kinds
        )
    if report.omitted:
        yield f"{report.omitted} more found, not listed"
    for failure in report.failures:
        yield f"the detector {failure.detector!r} failed with {failure.error}"
    if report.blocked:
        yield "nothing passes from there on"


def _print_error(sentence: str) -> None:
    """Write a sentence to standard error; do nothing if it is closed."""
    with suppress(BrokenPipeError, CannotScrub):
        _write(2, f"understudy scrub: {sentence}\n".encode("utf-8", "replace"))


def _decode(read: Callable[[], bytes]) -> Iterator[str]:
    """Yield the pieces of a text. A byte order mark at its start is a piece of its own."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    first = True
    while chunk := read():
        text = decoder.decode(chunk)
        if first and text.startswith(_BOM):
            yield _BOM
            text, first = text[1:], False
        if text:
            first = False
            yield text
    yield decoder.decode(b"", final=True)


@contextmanager
def _open_input(name: str) -> Iterator[Callable[[], bytes]]:
    """Open a file. Yield a function that returns the next bytes, empty at the end."""
    shown = "the standard input" if name == STDIN else one_line(name)

    def read() -> bytes:
        try:
            return os.read(source, CHUNK)
        except OSError as error:
            raise CannotScrub(f"{shown} cannot be read: {error.strerror or error}") from error

    if name == STDIN:
        if sys.stdin is None:
            raise CannotScrub("the standard input is closed")
        source = sys.stdin.fileno()
        yield read
        return
    try:
        source = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CannotScrub(f"{shown} cannot be read: {error.strerror or error}") from error
    try:
        yield read
    finally:
        os.close(source)


def _write(descriptor: int, data: bytes) -> None:
    """Write all bytes without Python's buffers, so that no buffered bytes remain if the reader closes the pipe."""
    unwritten = memoryview(data)
    while unwritten:
        try:
            unwritten = unwritten[os.write(descriptor, unwritten) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CannotScrub(f"nothing can be written: {error.strerror or error}") from error


def _by_number(kinds: Iterable[str]) -> list[tuple[str, int]]:
    """Return the kinds with their numbers, the most frequent first, then by name."""
    return sorted(Counter(kinds).items(), key=lambda pair: (-pair[1], pair[0]))
