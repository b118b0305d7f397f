"""The sanitizers of a whole text, of markup, and of text that arrives in pieces.

The output for a text does not depend on where its pieces were cut.
"""

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from secrets import token_bytes
from typing import TYPE_CHECKING, Final

from attrs import evolve

from .detector import Detector
from .findings import Category, Failure, Finding, Sanitized
from .late import Late
from .masking import Placeholders
from .pipeline import PipelineStage, PolicyEngine
from .policy import STANDARD, Direction, Policy
from .prefilter import ActiveDetectors, check_prefilters

if TYPE_CHECKING:
    from .detector_set import DetectorSet
    from .detectors.markup.markup import Markup

PIECE: Final = 4_096
"""Characters read at a time; a longer piece is split."""
SHORT: Final = 1_024
"""Characters of a text that `CleanTexts` remembers: lines of results and short answers come several times."""
REMEMBERED: Final = 2_048
"""Texts that it remembers; then it starts over. Each takes some 200 bytes."""

_PAIR: Final = Late("[\ud800-\udbff][\udc00-\udfff]")


def _build_detectors(policy: Policy, direction: Direction, extra: Sequence[Detector]) -> "DetectorSet":
    """Choose the detectors. The first text imports them all, and no import of this package waits for their tables."""
    from .detector_set import build_detectors

    return build_detectors(policy, direction, extra)


def _join_pairs(text: str) -> str:
    """Return the text with each surrogate pair joined into the character that it stands for."""
    if not _PAIR.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class CleanTexts:
    """Remembers in which short texts nothing was found, so that another direction need not scan them again.

    For sanitizers whose policies differ in their rules only, with the same `extra` detectors. A text without a find
    under some categories has none under fewer of them, as each detector reads as if it were alone. It keeps keyed
    digests and no text: only a scan adds one, and nothing that a text says can forge it.
    """

    def __init__(self) -> None:
        self._key = token_bytes(16)
        self._known: dict[bytes, frozenset[Category]] = {}

    def digest(self, text: str) -> bytes:
        """Return the key under which a text is remembered."""
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).digest()

    def covers(self, digest: bytes, categories: frozenset[Category]) -> bool:
        """Return whether the text was scanned for all these categories, without a find."""
        cached = self._known.get(digest)
        return cached is not None and categories <= cached

    def add(self, digest: bytes, categories: frozenset[Category]) -> None:
        """Remember that a scan for these categories found nothing."""
        if len(self._known) >= REMEMBERED:
            self._known = {}  # not emptied: another thread may be reading it
        self._known[digest] = categories


class Sanitizer:
    """Applies a policy to texts and markup. Stateless: share one among threads and tasks.

    `direction` picks the rules of the policy; `extra` are custom detectors, which run after the built-in ones. `clean`
    is shared by the sanitizers that may rely on each other's scans. The first text takes a fifth of a second: it
    imports the detectors and builds what all sanitizers search. Raises RE2's error if it cannot read a prefilter of
    `extra`.
    """

    def __init__(
        self,
        policy: Policy = STANDARD,
        direction: Direction = Direction.OUTBOUND,
        *,
        extra: Sequence[Detector] = (),
        clean: CleanTexts | None = None,
    ) -> None:
        for detector in extra:
            check_prefilters(detector.prefilters)
        self.policy = policy
        self.direction = direction
        self._extra = extra
        self._categories = frozenset(policy.rules(direction))
        self._clean = clean

    @cached_property
    def _detectors(self) -> "DetectorSet":
        return _build_detectors(self.policy, self.direction, self._extra)

    @cached_property
    def _markup(self) -> "Markup":
        from .detectors.markup.markup import Markup  # one of the detectors: see `_build_detectors`

        return Markup(self.policy)

    def sanitize(self, text: str, placeholders: Placeholders | None = None) -> Sanitized:
        """Sanitize text for a reader, a log or a model. Nothing is escaped: `a < b` is returned byte for byte.

        Halves of a surrogate pair are joined first; findings count them as one character. `placeholders` are needed if
        the policy tokenises; without them such finds are removed.
        """
        if not text:
            return Sanitized(text)
        clean = self._clean if len(text) <= SHORT else None
        digest = clean.digest(text) if clean else b""
        if clean and clean.covers(digest, self._categories):
            return Sanitized(text)
        stream = self.stream(placeholders)
        result = stream.result(stream.feed(text) + stream.flush())
        if clean and result == Sanitized(text):
            clean.add(digest, self._categories)
        return result

    def sanitize_html(self, html: str) -> Sanitized:
        """Sanitize markup for a page: no script, no handler, no foreign image. Text content stays.

        Always cleans, whatever the policy's categories. Findings name the removed parts, with the category `markup`.
        """
        return self._markup.clean(_join_pairs(html))

    def stream(self, placeholders: Placeholders | None = None) -> "StreamSanitizer":
        """Return a sanitizer for one text that arrives in pieces."""
        return StreamSanitizer(self.policy, self.direction, placeholders=placeholders, detectors=self._detectors)


class StreamSanitizer:
    """Sanitizes one text piece by piece. `feed(a) + feed(b) + … + flush()` is the result of `Sanitizer.sanitize`.

    Disguises are removed first, then the text they hid is scanned. `extra` are custom detectors. For many texts,
    `Sanitizer.stream` chooses the detectors once.
    """

    def __init__(
        self,
        policy: Policy = STANDARD,
        direction: Direction = Direction.OUTBOUND,
        *,
        placeholders: Placeholders | None = None,
        extra: Sequence[Detector] = (),
        detectors: "DetectorSet | None" = None,
    ) -> None:
        rules, early, late, bounds, deferring, self._first_late, self._find_active, self._find_active_early = (
            detectors or _build_detectors(policy, direction, extra)
        )
        self._engine = engine = PolicyEngine(policy, rules, placeholders)
        self._early: list[PipelineStage] = []  # built when one is needed: most texts are short and need none
        self._to_build = tuple(zip(early, bounds, deferring, strict=False))
        self._late = PipelineStage(late, engine, words=True, bounds=bounds[-1])
        self._content = bool(late)
        self._active: ActiveDetectors | None = {}
        """At least the detectors that are active in the text held by the last stage; None if part of it is unread."""
        self._busy = False  # whether an early stage holds anything
        self._skipped: list[str] = []  # pieces without finds of the early stages, still to be passed to them as context
        self._skipped_size = 0
        self._half = ""  # the first half of a surrogate pair, whose second one may come

    @property
    def held(self) -> int:
        """Number of characters taken in and not yet returned."""
        return len(self._half) + len(self._late.held) + sum([len(stage.held) for stage in self._early])

    def to_read(self, size: int) -> int:
        """Return the number of characters that `feed` reads with a piece of this size: with it what is held, unless it
        waits for more.
        """
        for stage in (*self._early, self._late):
            if stage.held and len(stage.held) + size >= stage.rescan_at:
                size += len(stage.held)
        return size

    @property
    def blocked(self) -> bool:
        """Whether a find or a failed detector blocks the text: nothing more is returned."""
        return self._engine.blocked

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The detectors that raised errors."""
        return tuple(self._engine.failures)

    def feed(self, chunk: str, *, last: bool = False) -> str:
        """Take the next piece, the `last` one if so, and return the text that is safe to show by now; may be empty."""
        if len(chunk) > PIECE:
            return "".join([self.feed(chunk[start : start + PIECE]) for start in range(0, len(chunk), PIECE)])
        if self._half or not chunk.isascii():
            chunk = _join_pairs(self._half + chunk)
            self._half = chunk[-1:] if not last and "\ud800" <= chunk[-1:] <= "\udbff" else ""
            chunk = chunk.removesuffix(self._half)
        if self._engine.blocked:
            return ""
        if self._busy:
            return self._run_all(chunk)
        late = self._late
        held = late.held + chunk
        waits = len(held) < late.rescan_at
        active = self._find_active_early(chunk) if waits else self._find_active(held)
        if active and min(active) < self._first_late:
            return self._run_all(chunk, None if waits else active)
        if self._to_build:
            self._skipped.append(chunk)
            self._skipped_size += len(chunk)
            if self._skipped_size > PIECE:
                self._catch_up()
        if waits:
            late.held = held
            self._active = None
            return ""
        self._active = active
        return late.feed(chunk, active) if self._content else chunk

    def pause(self) -> str:
        """Return the held text that may be shown when nothing has arrived for a while: call it from a timer.

        Returns all settled text, and the beginning of a last word if it consists of letters only and no rule may begin
        in it: at most seven ASCII letters. A possible beginning of a secret stays held. Shown text is still read
        together with what follows, so the findings are those without a pause. If a find covers letters already shown,
        they stand before its replacement.
        """
        if not self._content or self._engine.blocked:
            return ""
        self._active = self._find_active(self._late.held)
        return self._late.pause(self._active)

    def flush(self) -> str:
        """Return the rest: call it once, at the end of the text."""
        if self._engine.blocked:
            return ""
        shown = self.feed("", last=True) if self._half else ""
        rest, active = "", self._find_active_early
        if self._busy:
            for stage in self._early:
                if rest or stage.held:
                    rest = stage.feed(rest, active(stage.held + rest)) + stage.flush(active(stage.held))
        if not self._content:
            return shown + rest
        shown += self._feed_late(rest) if rest else ""
        return shown + self._late.flush(self._find_active(self._late.held) if self._active is None else self._active)

    def _run_all(self, chunk: str, seen: ActiveDetectors | None = None) -> str:
        """Run all stages in a row, each on the output of the one before.

        `seen` are the detectors active in this piece and the held text, if already known.
        """
        self._catch_up()
        whole = chunk
        for (detector, _, _), stage in zip(self._to_build, self._early, strict=True):
            if seen is not None and chunk == whole and not stage.held:
                active = seen
            else:
                active = self._find_active_early(stage.held + chunk)
            if stage.held or detector.number in active:
                chunk = stage.feed(chunk, active)
            else:
                stage.passed.add(chunk)
            if not chunk:
                break
        self._busy = any(stage.held for stage in self._early)
        if not chunk or not self._content:
            return chunk
        return self._feed_late(chunk, seen if chunk == whole else None)

    def _catch_up(self) -> None:
        """Build the early stages if there are none yet, and feed them the buffered, already-cleared text as context."""
        if not self._early:
            self._early = [
                PipelineStage([detector], self._engine, words=False, bounds=bound, defers=defers)
                for detector, bound, defers in self._to_build
            ]
        if not self._skipped:
            return
        skipped = "".join(self._skipped)
        self._skipped.clear()
        self._skipped_size = 0
        for stage in self._early:
            stage.passed.add(skipped)

    def _feed_late(self, chunk: str, seen: ActiveDetectors | None = None) -> str:
        late = self._late
        if len(late.held) + len(chunk) < late.rescan_at:
            late.held += chunk
            self._active = None
            return ""
        if seen is None:
            self._active = self._find_active(late.held + chunk)
        else:
            self._active = {number: names for number, names in seen.items() if number >= self._first_late}
        return late.feed(chunk, self._active)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings so far in the text returned so far, by `start`; at most `policy.max_findings`."""
        stages = [*self._early, self._late]
        collected: list[Finding] = []
        for number, stage in enumerate(stages):
            earlier = [before.edits for before in reversed(stages[:number]) if len(before.edits)]
            for finding in stage.findings:
                start, end = finding.start, finding.end
                for edits in earlier:
                    start, end = edits.old_start(start), edits.old_end(end)
                collected.append(evolve(finding, start=start, end=end) if earlier else finding)
        collected.sort(key=lambda finding: (finding.start, finding.end))
        return tuple(collected[: self._engine.policy.max_findings])

    @property
    def found(self) -> int:
        """Number of finds so far."""
        return self._late.found + (sum([stage.found for stage in self._early]) if self._early else 0)

    def result(self, text: str) -> Sanitized:
        """Return the result for the whole text, once all of it has been returned; `text` is the joined output."""
        engine, found = self._engine, self.found
        findings = self.findings if found else ()
        omitted = found - len(findings)
        return Sanitized("" if engine.blocked else text, findings, omitted, engine.blocked, tuple(engine.failures))
