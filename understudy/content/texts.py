"""Sanitizes texts, and every text in a JSON value: short ones on the event loop, long ones in a worker thread."""

import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import unescape
from itertools import repeat
from typing import Any, Final, TypeVar, TypeVarTuple

import msgspec
import trio
from attrs import define, evolve, field, frozen

from sanitization import Action, Category, Failure, Finding, Placeholders, Sanitized, Sanitizer
from transport.wire.errors import CommandRejected
from understudy.content.summary import is_unread
from understudy.sandbox.limiters import FairLimiter, RunLocal, thread_limiter

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

INLINE: Final = 1024
"""ASCII characters that are filtered on the event loop; a longer text goes to a worker thread, so that no step blocks
the loop. As measured, 1,000 characters take 30 µs if no prefilter matches, and one millisecond if all do."""
FOREIGN: Final = 4
"""Weight of a non-ASCII character: a text of only hidden characters takes this much longer."""
PIECE: Final = 16 * 1024
"""Characters that a worker thread filters at a time; in between other threads may run."""
LONGEST_S: Final = 4.0
"""Seconds of filtering for one text; after that it is refused before anything is stored."""
WAIT_S: Final = 8.0
"""Seconds of waiting for a worker and filtering; after that the text is refused with `busy`."""
THREADS: Final = 2
"""Calls of `run_off_loop` at a time; further ones wait in order of arrival."""
NUMBER_FROM: Final = 10**8
"""Integers from here on are scanned as text, because card and account numbers may be JSON numbers."""
DEEPEST: Final = 100
"""Depth beyond which values are left out. Results of tools are nested at most 64 deep."""
HEADS_MAX: Final = 8
"""Lists of an object that are tried as the column names of a table in the object."""
TOO_DEEP: Final = "[left out: nested too deeply]"
FINDINGS: Final = 1_000
"""Findings of one value that are kept; further ones are counted."""

_DRAWN: Final = re.compile(r">([^<>]{1,10000})<|\b(?:aria-label|title)=\"([^\"<>]{1,10000})\"")

# These threads are separate from those that render answers, so that a flood of messages does not delay answers. Short
# texts have their own worker, so that they do not wait for long ones. At each worker users take turns.
_short: Final = thread_limiter("understudy.content.texts.short", 1)
_long: Final = thread_limiter("understudy.content.texts.long", 1)
_short_turns: Final = RunLocal("understudy.content.texts.short_turns", lambda: FairLimiter(1))
_long_turns: Final = RunLocal("understudy.content.texts.long_turns", lambda: FairLimiter(1))
_others: Final = thread_limiter("understudy.content.texts", THREADS)


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing: it has only spaces, and control and format characters."""
    return all(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Zs") for character in text)


def weigh_text(text: str) -> int:
    """Estimate the cost of filtering a text, in ASCII characters."""
    return len(text) if text.isascii() else FOREIGN * len(text)


async def sanitize_text(
    text: str,
    sanitizer: Sanitizer,
    placeholders: Placeholders | None = None,
    *,
    owner: str = "",
    longest_s: float = LONGEST_S,
) -> Sanitized:
    """Sanitize a text of a user before it is stored. Users take turns, so a user waits for one text of another at most.

    Raises:
        CommandRejected: `message_too_large`: the text takes more than `longest_s` seconds. `busy`: no worker was free
            in time.
        QueueFull: Too many texts of this user wait.
    """
    if weigh_text(text) <= INLINE:
        return sanitizer.sanitize(text, placeholders)
    limiter, turns = (_short(), _short_turns()) if len(text) <= PIECE else (_long(), _long_turns())
    with trio.move_on_after(WAIT_S) as scope:
        async with turns.permit(owner):
            sanitized = await trio.to_thread.run_sync(
                _in_pieces, text, sanitizer, placeholders, longest_s, abandon_on_cancel=True, limiter=limiter
            )
    if scope.cancelled_caught:
        raise CommandRejected("busy", "Many long messages are being scanned; try again in a moment.", 5.0)
    if sanitized is None:
        raise CommandRejected("message_too_large", "That takes too long to scan; send it in shorter messages.")
    return sanitized


async def run_off_loop(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run a pure function in a worker thread, once one is free. A cancelled call does not wait for the thread."""
    return await trio.to_thread.run_sync(work, *args, abandon_on_cancel=True, limiter=_others())


def _in_pieces(
    text: str, sanitizer: Sanitizer, placeholders: Placeholders | None, longest_s: float
) -> Sanitized | None:
    """Sanitize a text piece by piece; None if it takes too long.

    A single call for a long text would hold the interpreter's lock, and block the loop, until its end.
    """
    stream, deadline = sanitizer.stream(placeholders), time.monotonic() + longest_s
    out: list[str] = []
    for start in range(0, len(text), PIECE):
        out.append(stream.feed(text[start : start + PIECE]))
        if time.monotonic() > deadline:
            return None
    out.append(stream.flush())
    return stream.result("".join(out))


@frozen
class SanitizedValue:
    """A sanitized value and its findings.

    `texts` are the results of the texts with findings; `findings` are at most `FINDINGS` of theirs, with places in
    their own texts, and `omitted` counts further ones. `blocked`: nothing of the value may pass.
    """

    value: Any = field(repr=False)
    texts: tuple[Sanitized, ...] = field(default=(), repr=False)
    findings: tuple[Finding, ...] = ()
    omitted: int = 0
    blocked: bool = False
    failures: tuple[Failure, ...] = ()

    def including(self, texts: Sequence[Sanitized]) -> "SanitizedValue":
        """Return this value with the findings of further texts."""
        together = (*self.texts, *texts)
        findings = [finding for text in together for finding in text.findings]
        omitted = len(findings[FINDINGS:]) + sum(text.omitted for text in together)
        failures = dict.fromkeys(failure for text in together for failure in text.failures)
        blocked = any(text.blocked for text in together)
        return SanitizedValue(self.value, together, tuple(findings[:FINDINGS]), omitted, blocked, tuple(failures))


class _TooDeep(Exception):
    pass


def sanitize_value(value: Any, sanitizer: Sanitizer) -> SanitizedValue:
    """Sanitize every text of a plain JSON value, including keys. A large value takes too long for the event loop.

    All texts are first scanned together, because most values have no findings. In each scan a value follows its key,
    so that the value of `{"password": "…"}` is found as a password.
    """
    try:
        together = "\n".join(_lines(value))
        sanitized = sanitizer.sanitize(together)
        is_unchanged = sanitized.text == together  # else halves of surrogate pairs were joined
        if is_unchanged and _is_clean(sanitized):
            return SanitizedValue(value)
        # Tables are often full of flagged personal data, and seldom have other findings. It is counted but not
        # reported, so the places in each text are not needed.
        only_personal_data = all(
            finding.category is Category.PII and finding.action is Action.FLAG and not is_unread(finding)
            for finding in sanitized.findings
        )
        if is_unchanged and only_personal_data and not (sanitized.omitted or sanitized.blocked or sanitized.failures):
            return SanitizedValue(value).including([sanitized])
    except _TooDeep:
        pass
    walk = _Walk(sanitizer)
    return SanitizedValue(walk.value(value)).including(walk.texts)


def chart_words(chart: Mapping[str, Any]) -> dict[str, Any]:
    """Return the visible words of a chart: those of its drawing, and its specification without the schema's address."""
    svg, spec = chart.get("svg"), chart.get("spec")
    drawn = [unescape("".join(groups)) for groups in _DRAWN.findall(svg)] if isinstance(svg, str) else []
    shown_spec = {name: part for name, part in spec.items() if name != "$schema"} if isinstance(spec, Mapping) else spec
    return {"title": chart.get("title"), "spec": shown_spec, "drawn": drawn}


def _is_clean(result: Sanitized) -> bool:
    return not (result.findings or result.omitted or result.blocked or result.failures)


def weigh_value(value: Any) -> int:
    """Estimate the cost of filtering a plain JSON value, in ASCII characters: by the bytes of its JSON."""
    if isinstance(value, str):
        return weigh_text(value)
    try:
        return len(msgspec.json.encode(value))
    except (ValueError, RecursionError):  # half of a surrogate pair, or nested too deeply
        return INLINE + 1


Names = str | tuple[str, ...]
"""The name of a value, or the names of the cells of a row."""


def _lines(value: Any, name: Names = "", depth: int = 0) -> list[str]:
    """Return a line for each text of a value, after the text's name, and for each name of an object or a list."""
    if depth > DEEPEST:
        raise _TooDeep
    if isinstance(value, (list, tuple)):
        return [line for member, named in _elements(value, name) for line in _lines(member, named, depth + 1)]
    lines: list[str] = []
    if isinstance(value, Mapping):
        heads = _cell_names(value)
        for key, member in value.items():
            if isinstance(member, str) and depth < DEEPEST:  # a shortcut for the most frequent case
                lines.append(f"{key}: {member}" if key else member)
                continue
            if isinstance(member, (list, tuple, Mapping)):
                lines.append(key)
            lines += _lines(member, heads.get(key) or key, depth + 1)
    else:
        text, name = value if isinstance(value, str) else _text(value) or "", name if isinstance(name, str) else ""
        if text or name:
            lines.append(f"{name}: {text}" if name else text)
    return lines


def _cell_names(value: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the names of cells for each list of rows in an object, if another list of the object has these names."""
    lists = {key: member for key, member in value.items() if isinstance(member, (list, tuple))}
    if len(lists) < 2:
        return {}
    heads = list(lists.values())[:HEADS_MAX]
    return {key: next(filter(None, (_heads(head, rows) for head in heads)), ()) for key, rows in lists.items()}


def _elements(value: Sequence[Any], name: Names) -> Iterator[tuple[Any, Names]]:
    """Yield each element with its name: in a table that of its column, which the first row may have, else `name`."""
    if not isinstance(name, str):
        names: Iterable[Names] = name if len(name) == len(value) and not _is_row(value[0]) else repeat(name)
    else:
        names = repeat(_heads(value[0], value[1:]) or name if len(value) > 1 else name)
    return zip(value, names, strict=False)


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _heads(heads: Any, rows: Any) -> tuple[str, ...]:
    """Return the names of the cells of `rows`, if `heads` has as many texts, or objects with a `name`; else nothing."""
    if not (_is_row(heads) and heads and rows and all(_is_row(row) and len(row) == len(heads) for row in rows)):
        return ()
    names: tuple[Any, ...] = tuple([head.get("name") if isinstance(head, Mapping) else head for head in heads])
    return names if all(isinstance(name, str) for name in names) else ()


def _text(value: Any) -> str | None:
    """Return the text as which a scalar is scanned; None if it is not scanned."""
    if isinstance(value, str):
        return value
    is_long = isinstance(value, int) and not isinstance(value, bool) and abs(value) >= NUMBER_FROM
    return str(value) if is_long else None


@define
class _Walk:
    """One pass over a value; `texts` are the results of the texts with findings."""

    sanitizer: Sanitizer
    texts: list[Sanitized] = field(factory=list, init=False)

    def value(self, value: Any, name: Names = "", depth: int = 0) -> Any:
        if depth > DEEPEST:
            return TOO_DEEP
        if isinstance(value, Mapping):
            return self._members(value, depth)
        if isinstance(value, list | tuple):
            return [self.value(member, named, depth + 1) for member, named in _elements(value, name)]
        name = name if isinstance(name, str) else ""
        text = _text(value)
        if not text:
            return value
        clean = self._text(text, name)
        return value if clean == text else clean

    def _members(self, value: Mapping[str, Any], depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        heads = _cell_names(value)
        for key, member in value.items():
            clean = name = self._text(key)
            number = 2
            while name in members:  # two keys became equal by redaction
                name, number = f"{clean} ({number})", number + 1
            members[name] = self.value(member, heads.get(key) or clean, depth + 1)
        return members

    def _text(self, text: str, name: str = "") -> str:
        if name:
            prefix = len(name) + 2
            clean = self.sanitizer.sanitize(f"{name}: {text}")
            if clean.findings and all(find.start >= prefix for find in clean.findings) and not clean.blocked:
                shifted = [evolve(find, start=find.start - prefix, end=find.end - prefix) for find in clean.findings]
                self.texts.append(evolve(clean, text=clean.text[prefix:], findings=tuple(shifted)))
                return clean.text[prefix:]
            if _is_clean(clean):
                return clean.text[prefix:]
        clean = self.sanitizer.sanitize(text)
        if not _is_clean(clean):
            self.texts.append(clean)
        return clean.text


def moment(at: float) -> str:
    """Format a time in Unix seconds."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # no date can be made of the number
        return f"{at:.0f} s"
