"""A sanitizer for text that arrives in pieces: what comes out does not depend on where the pieces were cut."""

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
"""Characters looked at in one go: a longer piece is taken in parts."""


class DetectorSet(NamedTuple):
    """The detectors of a policy in one direction, numbered in the order of work, and their prefilters."""

    early: tuple[Numbered, ...]
    late: tuple[Numbered, ...]
    bounds: tuple[Bounds, ...]
    find_active: Callable[[str], ActiveDetectors]
    find_active_early: Callable[[str], ActiveDetectors]


def build_detectors(policy: Policy, direction: Direction, extra: Sequence[Detector] = ()) -> DetectorSet:
    """Those whose categories the policy has rules for. To find them takes longer than to read a short text."""
    rules = policy.rules(direction)
    early = [each for each in DISGUISES if each.category in rules]
    late = [_for_policy(policy, each) for each in (*CONTENT, *extra) if each.category in rules]
    # Those that look by themselves have the last numbers: `build_prefilter` knows the others by their places.
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
    """What the prefilters say, and the detectors that look by themselves whether a text concerns them."""
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
    """Scrubs one text piece by piece. `feed(a) + feed(b) + … + flush()` is what `Scrubber.scrub` makes of the whole.

    First what hides is taken out, then what was hidden is sought. `extra` are detectors of your own. For many texts,
    `Scrubber.stream` chooses the detectors once.
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
        self._judge = judge = PolicyEngine(policy, direction, placeholders)
        self._early = [
            PipelineStage([each], judge, words=False, bounds=bound, leaves=_leaves(each.detector, judge))
            for each, bound in zip(early, bounds, strict=False)
        ]
        self._late = PipelineStage(late, judge, words=True, bounds=bounds[-1])
        self._first_late = len(early)
        self._content = bool(late)
        self._busy = False  # whether an early stage holds anything
        self._skipped: list[str] = []  # pieces in which the early stages had nothing to find, for their context
        self._skipped_size = 0

    @property
    def held(self) -> int:
        """Characters taken in and not yet given out."""
        return self._late.held_count + sum(stage.held_count for stage in self._early)

    @property
    def blocked(self) -> bool:
        """Whether something was found after which nothing more is given out, or a detector failed."""
        return self._judge.blocked

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The detectors that could not do their work."""
        return tuple(self._judge.failures)

    def feed(self, chunk: str) -> str:
        """Takes the next piece; gives what is safe to show by now, which may be nothing."""
        if len(chunk) <= PIECE:
            return self._feed(chunk)
        return "".join([self._feed(chunk[start : start + PIECE]) for start in range(0, len(chunk), PIECE)])

    def pause(self) -> str:
        """What can be shown of what is held, when nothing has come for a while: call it from a timer.

        Everything that is settled comes out, and so does the beginning of a last word, while it is nothing but letters
        and no rule has a foothold in it: of ASCII letters seven at most. Whatever might be the beginning of a secret
        stays. What was shown is still read together with what follows; the same is found as without the pause. Only
        where a find covers letters that were shown, they stand before its replacement.
        """
        if not self._content or self._judge.blocked:
            return ""
        return self._late.pause(self._find_active(self._late.held))

    def flush(self) -> str:
        """The rest: call it once, at the end of the text."""
        if self._judge.blocked:
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
        if self._judge.blocked:
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
        """Lets the early stages have what they had nothing to find in."""
        skipped = "".join(self._skipped)
        self._skipped.clear()
        self._skipped_size = 0
        for stage in self._early:
            stage.pass_context(skipped)

    def _through(self, chunk: str, seen: ActiveDetectors | None = None) -> str:
        """All the stages in a row, each by what the one before it left.

        `seen` is what was seen in this piece with what is held of those before, if it was looked at.
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
        """What was seen for the detectors of the last stage."""
        return {number: names for number, names in seen.items() if number >= self._first_late}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found so far in what was given out, by `start`; at most `policy.max_findings` of them."""
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
        return tuple(found[: self._judge.policy.max_findings])

    @property
    def found(self) -> int:
        """How many finds there were so far."""
        return self._late.found + sum(stage.found for stage in self._early)

    def result(self, text: str) -> Sanitized:
        """The account of the whole, once all has come out; `text` is what came out."""
        findings = self.findings
        blocked = self.blocked
        return Sanitized("" if blocked else text, findings, self.found - len(findings), blocked, self.failures)


def _for_policy(policy: Policy, detector: Detector) -> Detector:
    """The detector itself, or what its `of(policy)` gives: one that depends on more of a policy than its rules."""
    of: Callable[[Policy], Detector] | None = getattr(detector, "of", None)
    return of(policy) if of is not None else detector


def _leaves(detector: Detector, judge: PolicyEngine) -> bool:
    """Whether a later stage takes out all that this detector finds: what is in its `covers`, categories with kinds."""
    covers: Mapping[Category, Sequence[str]] = getattr(detector, "covers", {})
    return bool(covers) and all(
        category in judge.rules and judge.acts_on(category, kind)
        for category, kinds in covers.items()
        for kind in kinds
    )


def _own(detector: Detector) -> Callable[[str], bool] | None:
    """What says whether a text concerns a detector that looks for its prefilters itself."""
    return getattr(detector, "concerns", None) if not detector.prefilters else None
