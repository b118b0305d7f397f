"""Sanitizes text that arrives in pieces: the output does not depend on where the pieces were cut."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from attrs import evolve

from .detectors import CONTENT, DISGUISES
from .detectors.detector import Detector
from .findings import Category, Failure, Finding, Sanitized
from .masking import Placeholders
from .pipeline import Bounds, Numbered, PipelineStage, bounds_of
from .policy import STANDARD, Direction, Policy
from .policy_engine import PolicyEngine
from .prefilter import ActiveDetectors, build_prefilter

PIECE: Final = 4_096
"""Characters read at a time; a longer piece is split."""


class DetectorSet(NamedTuple):
    """The detectors of a policy in one direction, numbered in the order they run, and their prefilters."""

    early: tuple[Numbered, ...]
    late: tuple[Numbered, ...]
    bounds: tuple[Bounds, ...]
    find_active: Callable[[str], ActiveDetectors]
    find_active_early: Callable[[str], ActiveDetectors]


def build_detectors(policy: Policy, direction: Direction, extra: Sequence[Detector] = ()) -> DetectorSet:
    """Choose the detectors for which the policy has rules. Takes longer than reading a short text."""
    rules = policy.rules(direction)
    early = [each for each in DISGUISES if each.category in rules]
    late = [_for_policy(policy, each) for each in (*CONTENT, *extra) if each.category in rules]
    # Detectors with `concerns` get the last numbers: `build_prefilter` numbers the others by position.
    gated = [each for each in late if _own(each) is None]
    owning = [each for each in late if _own(each) is not None]
    ordered = [*early, *gated, *owning]
    numbers = {id(each): number for number, each in enumerate(ordered)}
    numbered = [Numbered(numbers[id(each)], each) for each in (*early, *late)]
    first, others = tuple(numbered[: len(early)]), tuple(numbered[len(early) :])
    bounds = tuple([bounds_of(stage) for stage in (*([each] for each in first), others)])
    prefilters = tuple([each.prefilters for each in (*early, *gated)])
    own = [(numbers[id(each)], look) for each in owning if (look := _own(each)) is not None]
    return DetectorSet(
        first, others, bounds, _with(build_prefilter(prefilters), own), build_prefilter(prefilters[: len(early)])
    )


def _with(
    active: Callable[[str], ActiveDetectors], own: Sequence[tuple[int, Callable[[str], bool]]]
) -> Callable[[str], ActiveDetectors]:
    """Combine the prefilters with the detectors that decide by themselves whether a text concerns them."""
    if not own:
        return active

    def both(text: str) -> ActiveDetectors:
        found = active(text)
        for number, concerns in own:
            if concerns(text):
                found = {**found, number: ()}
        return found

    return both


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
        detectors: DetectorSet | None = None,
    ) -> None:
        early, late, bounds, self._find_active, self._find_active_early = detectors or build_detectors(
            policy, direction, extra
        )
        self._engine = engine = PolicyEngine(policy, direction, placeholders)
        self._early = [
            PipelineStage([each], engine, words=False, bounds=bound, defers=_is_covered(each.detector, engine))
            for each, bound in zip(early, bounds, strict=False)
        ]
        self._late = PipelineStage(late, engine, words=True, bounds=bounds[-1])
        self._first_late = len(early)
        self._content = bool(late)
        self._busy = False  # whether an early stage holds anything
        self._skipped: list[str] = []  # pieces without finds of the early stages, still to be passed to them as context
        self._skipped_size = 0

    @property
    def held(self) -> int:
        """Number of characters taken in and not yet returned."""
        return self._late.held_count + sum(stage.held_count for stage in self._early)

    @property
    def blocked(self) -> bool:
        """Whether a find or a failed detector blocks the text: nothing more is returned."""
        return self._engine.blocked

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The detectors that raised errors."""
        return tuple(self._engine.failures)

    def feed(self, chunk: str) -> str:
        """Take the next piece and return the text that is safe to show by now, which may be empty."""
        if len(chunk) <= PIECE:
            return self._feed(chunk)
        return "".join([self._feed(chunk[start : start + PIECE]) for start in range(0, len(chunk), PIECE)])

    def pause(self) -> str:
        """Return the held text that may be shown when nothing has arrived for a while: call it from a timer.

        Returns all settled text, and the beginning of a last word if it consists of letters only and no rule may begin
        in it: at most seven ASCII letters. A possible beginning of a secret stays held. Shown text is still read
        together with what follows, so the findings are those without a pause. If a find covers letters already shown,
        they stand before its replacement.
        """
        if not self._content or self._engine.blocked:
            return ""
        return self._late.pause(self._find_active(self._late.held))

    def flush(self) -> str:
        """Return the rest: call it once, at the end of the text."""
        if self._engine.blocked:
            return ""
        rest, active = "", self._find_active_early
        if self._busy:
            for stage in self._early:
                if rest or stage.held_count:
                    rest = stage.feed(rest, active(stage.held + rest)) + stage.flush(active(stage.held))
        if not self._content:
            return rest
        out = self._take(rest) if rest else ""
        return out + self._late.flush(self._find_active(self._late.held))

    def _feed(self, chunk: str) -> str:
        if self._engine.blocked:
            return ""
        if self._busy:
            return self._through(chunk)
        late = self._late
        waits = late.should_buffer(chunk)
        active = self._find_active_early(chunk) if waits else self._find_active(late.held + chunk)
        if active and min(active) < self._first_late:
            return self._through(chunk, None if waits else active)
        if self._early:
            self._skipped.append(chunk)
            self._skipped_size += len(chunk)
            if self._skipped_size > PIECE:
                self._catch_up()
        if waits:
            late.buffer(chunk)
            return ""
        return late.feed(chunk, active) if self._content else chunk

    def _catch_up(self) -> None:
        """Feed the buffered, already-cleared text to the early stages as context."""
        skipped = "".join(self._skipped)
        self._skipped.clear()
        self._skipped_size = 0
        for stage in self._early:
            stage.pass_context(skipped)

    def _through(self, chunk: str, seen: ActiveDetectors | None = None) -> str:
        """Run all stages in a row, each on the output of the one before.

        `seen` are the detectors active in this piece and the held text, if already known.
        """
        if self._skipped:
            self._catch_up()
        whole = chunk
        for stage in self._early:
            if seen is not None and chunk == whole and not stage.held_count:
                active = seen
            else:
                active = self._find_active_early(stage.held + chunk)
            chunk = stage.feed(chunk, active)
            if not chunk:
                break
        self._busy = any(stage.held_count for stage in self._early)
        if not chunk or not self._content:
            return chunk
        return self._take(chunk, seen if chunk == whole else None)

    def _take(self, chunk: str, seen: ActiveDetectors | None = None) -> str:
        late = self._late
        if late.should_buffer(chunk):
            late.buffer(chunk)
            return ""
        return late.feed(chunk, self._find_active(late.held + chunk) if seen is None else self._content_of(seen))

    def _content_of(self, seen: ActiveDetectors) -> ActiveDetectors:
        """Return the active detectors of the last stage."""
        return {number: names for number, names in seen.items() if number >= self._first_late}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings so far in the text returned so far, by `start`; at most `policy.max_findings`."""
        stages = [*self._early, self._late]
        if not self.found:
            return ()
        found: list[Finding] = []
        for number, stage in enumerate(stages):
            earlier = [before.edits for before in reversed(stages[:number]) if len(before.edits)]
            for each in stage.findings:
                start, end = each.start, each.end
                for edits in earlier:
                    start, end = edits.old_start(start), edits.old_end(end)
                found.append(evolve(each, start=start, end=end) if earlier else each)
        found.sort(key=lambda finding: (finding.start, finding.end))
        return tuple(found[: self._engine.policy.max_findings])

    @property
    def found(self) -> int:
        """Number of finds so far."""
        return self._late.found + sum(stage.found for stage in self._early)

    def result(self, text: str) -> Sanitized:
        """Return the result for the whole text, once all of it has been returned; `text` is the joined output."""
        findings = self.findings
        blocked = self.blocked
        return Sanitized("" if blocked else text, findings, self.found - len(findings), blocked, self.failures)


def _for_policy(policy: Policy, detector: Detector) -> Detector:
    """Return the detector for this policy: the result of its `of(policy)` if it has one, else itself."""
    of: Callable[[Policy], Detector] | None = getattr(detector, "of", None)
    return of(policy) if of is not None else detector


def _is_covered(detector: Detector, engine: PolicyEngine) -> bool:
    """Return whether a later stage removes all finds of this detector (its `covers`: categories with kinds)."""
    covers: Mapping[Category, Sequence[str]] = getattr(detector, "covers", {})
    return bool(covers) and all(
        category in engine.rules and engine.acts_on(category, kind)
        for category, kinds in covers.items()
        for kind in kinds
    )


def _own(detector: Detector) -> Callable[[str], bool] | None:
    """Return the `concerns` function of a detector that has no prefilters, if it has one."""
    return getattr(detector, "concerns", None) if not detector.prefilters else None
