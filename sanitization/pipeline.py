"""One pass over a text that arrives in pieces, by one detector or by several side by side.

A stage holds back the text that its detectors call unsettled: usually the word that is being written. It holds at most
little more than twice the detectors' reach, because a hit ends within that reach.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Final, NamedTuple

from .detectors.detector import Detector
from .findings import Action, Category, Finding, Hit
from .offsets import Edits
from .policy_engine import PolicyEngine, make_finding
from .prefilter import ActiveDetectors

PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
WORD_MAX: Final = 512
"""Characters of the last word that are held back while no prefilter matches. No prefilter match lies further behind an
anchor.
"""
FOREIGN_MAX: Final = 32
"""Non-ASCII characters in that word. In scripts without blanks a stream would otherwise wait for the end of the
paragraph.
"""
PATIENT: Final = 64
"""Characters held; beyond this the held text is not read again with every piece."""
PATIENCE: Final = 8
"""Beyond `PATIENT`, the held text is read again when it has grown by one part in eight."""
SHOWN_MAX: Final = 7
"""ASCII letters of a word that a pause may show. Eight characters of a secret would be too many."""

EDITS_BEHIND: Final = 64 * 1024
"""Characters behind the last listed find for which edits are kept. A listed find of a later stage begins before that
one and ends within this distance; without this bound memory would grow with the text.
"""

# Characters of a word besides printable ASCII: no blanks, no marks that end a clause. Joiners are part of it.
_FOREIGN: Final = (
    r"[^\x00-\x7f\s\u00a0-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u060c\u061b\u061f\u0964\u0965\u2000-\u200a\u2010-\u206f\u3000-\u303f\uff00-\uff0f"
    r"\uff1a-\uff20]"
)
_DROW: Final = re.compile(rf"[!-~]*(?:{_FOREIGN}[!-~]*){{0,{FOREIGN_MAX}}}")  # a word read backwards


class Numbered(NamedTuple):
    """A detector and its number in the prefilters. The order is that of preference."""

    number: int
    detector: Detector


class Bounds(NamedTuple):
    """The largest context and reach of a stage's detectors."""

    context: int
    reach: int


def bounds_of(detectors: Sequence[Numbered]) -> Bounds:
    """Return the bounds of these detectors together."""
    return Bounds(
        max((each.detector.context for each in detectors), default=0),
        max((each.detector.reach for each in detectors), default=0),
    )


_END_OF: Final = attrgetter("end")
_SPAN_OF: Final = attrgetter("anchor", "end")
_Claim = tuple[Hit, Detector]
_Finds = tuple[list[Hit], Detector]  # of one detector, in order


class PipelineStage:
    """One detector stage over a stream. `words` holds back the last word, which may still become anything.

    With `defers`, finds are recorded with their action, but a later stage removes the characters: both report them.
    """

    def __init__(
        self,
        detectors: Sequence[Numbered],
        engine: PolicyEngine,
        *,
        words: bool,
        bounds: Bounds | None = None,
        defers: bool = False,
    ) -> None:
        self.edits = Edits()
        self.findings: list[Finding] = []  # the first `policy.max_findings`; places in this stage's input
        self.found = 0
        self._detectors = list(detectors)
        self._engine = engine
        self._words = words
        self._defers = defers
        self._context, self._reach = bounds or bounds_of(detectors)
        self._text = ""  # context, then the held text
        self._from = 0  # where in it the held part begins
        self._before = 0  # characters of the stream before `_text`
        self._rescan_at = 0  # length of the held part from which on it is read again
        self._shown = 0  # characters of the held part that a pause gave out
        self._listed = 0  # where the last find began that is listed

    @property
    def held(self) -> str:
        """The text that came in and has not been passed on."""
        return self._text[self._from :]

    @property
    def held_count(self) -> int:
        """Number of characters held back."""
        return len(self._text) - self._from

    @property
    def shown(self) -> int:
        """Number of held characters that a pause has shown."""
        return self._shown

    def should_buffer(self, chunk: str) -> bool:
        """Return whether this piece is too short to read the held text again; then `buffer` it."""
        return len(self._text) - self._from + len(chunk) < self._rescan_at

    def buffer(self, chunk: str) -> None:
        """Append a piece to the held text without reading it."""
        self._text += chunk

    def feed(self, chunk: str, active: ActiveDetectors) -> str:
        """Read the next piece and return the settled text. `active`: the detectors active in `held` plus this piece."""
        text = self._text = self._text + chunk
        start, end = self._from, len(text)
        if end - start < self._rescan_at:
            return ""
        upto = self._settled(text, start, active)
        if end - upto > 2 * self._reach:
            upto = max(upto, end - self._reach)
        if upto <= start:
            out = ""
        elif active or self._shown:
            out = self._emit(upto, active)
        else:
            out = text[start:upto]
            self._let_go(upto)
        held = len(self._text) - self._from
        self._rescan_at = held * (PATIENCE + 1) // PATIENCE if held > PATIENT else 0
        return out

    def pass_context(self, chunk: str) -> None:
        """Take a piece without finds as context only. The stage must hold nothing."""
        self._text += chunk
        self._let_go(len(self._text))

    def flush(self, active: ActiveDetectors) -> str:
        """Return all held text: nothing follows."""
        return self._emit(len(self._text), active)

    def pause(self, active: ActiveDetectors) -> str:
        """Return the text that can be shown while no more arrives, including the harmless beginning of a last word.

        Shown text stays held and is read again together with what follows it, so a pause hides no find.
        """
        self._rescan_at = 0
        out = self.feed("", active)
        if active or self._engine.blocked:
            return out
        word = self.held
        most = _harmless(word)
        if most > self._shown:
            out += word[self._shown : most]
            self._shown = most
        return out

    def _settled(self, text: str, start: int, active: ActiveDetectors) -> int:
        upto = end = len(text)
        if self._words:
            upto = _last_word(text, max(start, end - WORD_MAX))
        if active:
            for number, detector in self._detectors:
                if number in active:
                    try:
                        upto = min(upto, max(start, detector.settled(text, start, active[number])))
                    except Exception as error:
                        self._fail(detector, error)
        return upto

    def _emit(self, upto: int, active: ActiveDetectors) -> str:
        text, start = self._text, self._from
        if active:
            found, whole = self._finds(text, start, active)
            # A find that extends beyond the settled part waits until all of it is settled.
            upto = _clear(whole, upto)
            out = self._apply(_in_order(found, upto), upto) if found else self._passed(upto)
        else:
            out = self._passed(upto)
        self._shown = max(0, self._shown - (upto - start))
        self._let_go(upto)
        return "" if self._engine.blocked else out

    def _let_go(self, upto: int) -> None:
        """Keep the text before `upto` as context only."""
        # Cut seldom: the context may be much longer than a piece.
        keep = upto - self._context if upto > 2 * self._context else 0
        if keep:
            self._text, self._before = self._text[keep:], self._before + keep
        self._from = upto - keep

    def _passed(self, upto: int) -> str:
        start = self._from
        return self._text[start + min(self._shown, upto - start) : upto]

    def _finds(self, text: str, start: int, active: ActiveDetectors) -> tuple[list[_Finds], list[Hit]]:
        """Return the claims by detector, and all hits: the text must not be cut within any of them.

        Every detector reads as if it were alone. Where two finds overlap, the earlier detector gets the span and the
        other the rest, so that everything covered by any find is acted on. Finds that are only flagged take no span
        from others, nor lose any: a flagged link must not shield the secret in it.
        """
        found, whole = list[_Finds](), list[Hit]()
        for number, detector in list(self._detectors):
            if number not in active:
                continue
            try:
                hits = self._hits(detector, text, start, active[number], whole)
            except Exception as error:
                self._fail(detector, error)
                continue
            if hits:
                whole += hits
                if found:
                    hits = self._outside(hits, detector.category, found)
                found.append((hits, detector))
        return found, whole

    def _hits(self, detector: Detector, text: str, start: int, names: Sequence[str], whole: list[Hit]) -> list[Hit]:
        """Return the hits of a detector that the policy accepts; append the others to `whole`."""
        engine, category, size, hits = self._engine, detector.category, len(text), list[Hit]()
        threshold, choosy = engine.policy.threshold, engine.has_exceptions
        position, least = start, 0
        while position >= 0:
            asked, position = position, -1
            for hit in detector.find(text, asked, names):
                begin, end, _kind, score, _replacement, anchor, _reasons, _told = hit
                if not asked <= anchor <= begin < end <= size:
                    raise ValueError(f"a hit from {begin} to {end} anchored at {anchor}, sought from {asked}")
                if begin < least:
                    continue
                if score >= threshold and not (choosy and not engine.accepts(category, hit, text)):
                    hits.append(hit)
                else:
                    whole.append(hit)
                    if begin > anchor:
                        # An accepted find may begin there: in `token = …` a token known by its form.
                        position = begin
                        break
                least = end
        return hits

    def _outside(self, hits: list[Hit], category: Category, found: Sequence[_Finds]) -> list[Hit]:
        """Return the parts of these hits outside earlier claims; hits that are only flagged stay whole.

        The first part of a hit has its replacement, the others have none.
        """
        acts = self._engine.acts_on
        taken = [
            (hit.start, hit.end) for earlier, detector in found for hit in earlier if acts(detector.category, hit.kind)
        ]
        taken.sort()
        parts, index = list[Hit](), 0
        for hit in hits:
            position, end = hit.start, hit.end
            while index < len(taken) and taken[index][1] <= position:
                index += 1
            if index == len(taken) or taken[index][0] >= end or not acts(category, hit.kind):
                parts.append(hit)
                continue
            replacement, place = hit.replacement, index
            while position < end:
                first, last = taken[place] if place < len(taken) else (end, end)
                if position < first:
                    report_start = hit.report_start if position == hit.start else None
                    parts.append(
                        hit._replace(
                            start=position, end=min(first, end), replacement=replacement, report_start=report_start
                        )
                    )
                    replacement = ""
                position, place = last, place + 1
        return parts

    def _apply(self, claims: Iterable[_Claim], upto: int) -> str:
        text, position, before, engine = self._text, self._from, self._before, self._engine
        visible, room, count = position + self._shown, engine.policy.max_findings - len(self.findings), 0
        edited = self._listed + EDITS_BEHIND - before
        last: Detector | None = None
        category, removes, defers = Category.MARKUP, False, self._defers
        out: list[str] = []
        for hit, detector in claims:
            if detector is not last:
                last, category = detector, detector.category
                removes = engine.removes_all(category)
            start, end, _kind, _score, replacement, _anchor, _reasons, report_start = hit
            action = Action.REMOVE
            if not removes:
                action, replacement = engine.decide(category, hit, text)
            if defers:
                replacement = ""
            edits = action is not Action.FLAG and not defers
            if edits:
                if start > position:
                    out.append(text[position if position >= visible else max(position, visible) : start])
                if start < visible and action is Action.MASK:  # as long as the find
                    out.append(replacement[visible - start :])
                elif replacement:
                    out.append(replacement)
                position = end
            count += 1
            if room > 0:
                room -= 1
                self._listed = start + before
                edited = start + EDITS_BEHIND
                since = start if report_start is None else max(0, min(report_start, start))
                shown = text[since:start] + replacement
                placed = hit._replace(start=since + before, end=end + before, replacement=shown)
                self.findings.append(make_finding(placed, category, detector.name, action))
            if start <= edited and edits:
                self.edits.add(start + before, end + before, len(replacement))
            if engine.blocked:
                self.found += count
                return ""
        self.found += count
        out.append(text[max(position, visible) : upto])
        return "".join(out)

    def _fail(self, detector: Detector, error: Exception) -> None:
        """Drop a detector for the rest of this text, record its failure, and mark where it stopped reading."""
        self._engine.record_failure(detector.name, error)
        self._detectors = [each for each in self._detectors if each.detector is not detector]
        start = self._before + self._from
        kind = f"{detector.category.value}.unread"
        self.found += 1
        self.findings.append(
            Finding(kind, Category(detector.category), start, start, 1.0, "", detector.name, Action.FLAG)
        )


def _clear(whole: Sequence[Hit], upto: int) -> int:
    """Return the last place up to `upto` that lies in no hit."""
    if max(map(_END_OF, whole), default=0) <= upto:
        return upto
    begin = end = 0
    for first, last in sorted(map(_SPAN_OF, whole)):
        if first >= upto:
            break
        if first >= end:
            begin = first
        end = max(end, last)
    return begin if end > upto else upto


def _in_order(found: Sequence[_Finds], upto: int) -> Iterable[_Claim]:
    """Return the finds that end before `upto`, each with its detector, by start."""
    if len(found) == 1:
        hits, detector = found[0]
        if hits[-1].end > upto:
            hits = [hit for hit in hits if hit.end <= upto]
        return zip(hits, repeat(detector), strict=False)
    claims = [(hit, detector) for hits, detector in found for hit in hits if hit.end <= upto]
    claims.sort(key=lambda each: each[0].start)
    return claims


def _last_word(text: str, start: int) -> int:
    """Return where the last word begins, `start` at the earliest: it may become part of anything."""
    tail = text[start:]
    if tail.isascii():
        return start + len(tail.rstrip(PRINTABLE))
    word = _DROW.match(tail[::-1])
    return len(text) - (word.end() if word else 0)


def _harmless(word: str) -> int:
    """Return how many characters of a word may be shown while it may become anything: fewer than eight letters of a
    key.
    """
    if not word.isalpha():
        return 0
    places = [place for place, letter in enumerate(word) if letter.isascii()]
    return len(word) if len(places) <= SHOWN_MAX else places[SHOWN_MAX]
