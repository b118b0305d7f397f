"""A scrubber for text that arrives in pieces: what comes out does not depend on where the pieces were cut.

A stage holds back only what its detector calls unsettled: usually the word that is being written. However long
that gets, no more than twice the detector's reach is held, because a hit ends within that reach.
"""

from .detectors import DETECTORS
from .detectors.detector import Detector
from .findings import Finding, Hit
from .offsets import Edits
from .policy import STANDARD, Policy


class _Stage:
    """One detector at work on a stream."""

    def __init__(self, detector: Detector, policy: Policy) -> None:
        self.detector = detector
        self.edits = Edits()
        self.hits: list[Hit] = []  # the first `policy.max_findings`
        self._policy = policy
        self._text = ""  # context, then what is held back
        self._from = 0  # where in it the held part begins
        self._before = 0  # characters of the stream before `_text`

    @property
    def held(self) -> int:
        return len(self._text) - self._from

    def feed(self, chunk: str) -> str:
        self._text += chunk
        upto = self.detector.settled(self._text, self._from)
        if len(self._text) - upto > 2 * self.detector.reach:
            upto = len(self._text) - self.detector.reach
        return self._emit(upto) if upto > self._from else ""

    def flush(self) -> str:
        return self._emit(len(self._text))

    def _emit(self, upto: int) -> str:
        """Lets go everything before `upto`, and the hit that covers that place."""
        text, position, out = self._text, self._from, []
        threshold, before, edits = self._policy.threshold, self._before, self.edits
        for hit in self.detector.find(text, position):
            if hit.anchor >= upto:
                break
            upto = max(upto, hit.end)
            if hit.score < threshold:
                continue
            out.append(text[position : hit.start])
            out.append(hit.replacement)
            position = hit.end
            edits.add(hit.start + before, position + before, len(hit.replacement))
            if len(self.hits) < self._policy.max_findings:
                self.hits.append(hit._replace(start=hit.start + before, end=position + before))
        out.append(text[position:upto])
        keep = max(0, upto - self.detector.context)
        self._text, self._from, self._before = text[keep:], upto - keep, self._before + keep
        return "".join(out)


class StreamScrubber:
    """Scrubs one text piece by piece. `feed(a) + feed(b) + … + flush()` is what `Scrubber.scrub` makes of the whole."""

    def __init__(self, policy: Policy = STANDARD) -> None:
        self._policy = policy
        self._stages = [_Stage(detector, policy) for detector in DETECTORS if detector.category in policy.categories]

    @property
    def held(self) -> int:
        """Characters taken in and not yet given out."""
        return sum(stage.held for stage in self._stages)

    def feed(self, chunk: str) -> str:
        """Takes the next piece; gives what is safe to show by now, which may be nothing."""
        for stage in self._stages:
            if not chunk:
                break
            chunk = stage.feed(chunk)
        return chunk

    def flush(self) -> str:
        """The rest: call it once, at the end of the text."""
        rest = ""
        for stage in self._stages:
            rest = stage.feed(rest) + stage.flush()
        return rest

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found so far in what was given out, by `start`; at most `policy.max_findings` of them."""
        found: list[Finding] = []
        for number, stage in enumerate(self._stages):
            earlier = [before.edits for before in reversed(self._stages[:number])]
            for hit in stage.hits:
                start, end = hit.start, hit.end
                for edits in earlier:
                    start, end = edits.old_start(start), edits.old_end(end)
                detector = stage.detector
                found.append(
                    Finding(hit.kind, detector.category, start, end, hit.score, hit.replacement, detector.name)
                )
        found.sort(key=lambda finding: (finding.start, finding.end))
        return tuple(found[: self._policy.max_findings])

    @property
    def replaced(self) -> int:
        """How many replacements were made so far."""
        return sum(len(stage.edits) for stage in self._stages)
