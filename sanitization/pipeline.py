"""One pass over a text that arrives in pieces, by one detector or by several side by side, and the policy's decisions.

A stage holds back the text that its detectors call unsettled: usually the word that is being written. It holds at most
little more than twice the detectors' reach, because a hit ends within that reach.
"""

import signal
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from math import inf
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar

from attrs import Factory, define

from .detector import Detector
from .findings import Action, Category, Failure, Finding, Hit
from .late import Late
from .masking import Placeholders, mask_text
from .policy import Failing, Mask, Policy, Rules
from .prefilter import ActiveDetectors

PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
WORD_MAX: Final = 512
"""Characters of the last word that are held back while no prefilter matches: no match lies further behind an anchor."""
FOREIGN_MAX: Final = 32
"""Non-ASCII characters of that word. In scripts without blanks a stream would else wait for the paragraph's end."""
PATIENT: Final = 64
"""Characters up to which the held text is read again with every piece."""
PATIENCE: Final = 8
"""Longer held text is read again when it has grown by one part in this many: so the work grows with its length."""
PASSED_MAX: Final = 1_024
"""Characters passed on that are not yet joined to the context, if the detectors do not read more of it."""
SHOWN_MAX: Final = 7
"""ASCII letters of a word that a pause may show. Eight characters of a secret would be too many."""

EDITS_BEHIND: Final = 64 * 1024
"""Characters behind the last listed find for which edits are kept, as memory would grow with the text without a bound.
A listed find of a later stage begins before that one and ends within this distance."""

# Characters of a word besides printable ASCII: no blanks, no marks that end a clause. Joiners are part of it.
_FOREIGN: Final = (
    r"[^\x00-\x7f\s\u00a0-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u060c\u061b\u061f\u0964\u0965\u2000-\u200a\u2010-\u206f\u3000-\u303f\uff00-\uff0f"
    r"\uff1a-\uff20]"
)
_WORD_BACKWARDS: Final = Late(rf"[!-~]*(?:{_FOREIGN}[!-~]*){{0,{FOREIGN_MAX}}}")


_T = TypeVar("_T")


class PolicyEngine:
    """Decides on the hits of one text by a policy's `rules` for one direction; records failures, and a block."""

    def __init__(self, policy: Policy, rules: Rules, placeholders: Placeholders | None) -> None:
        self.policy = policy
        self.rules = rules
        self.failures: list[Failure] = []
        self.blocked = False
        self.has_exceptions = bool(policy.allow or policy.kinds)
        """Whether more than its score decides if a hit is accepted."""
        self._placeholders = placeholders

    def accepts(self, category: Category, hit: Hit, text: str) -> bool:
        """Return whether a hit that reaches the threshold is a find at all."""
        policy = self.policy
        if policy.allow and text[hit.start : hit.end] in policy.allow:
            return False
        return not policy.kinds or self._action(category, hit.kind) is not None

    def acts_on(self, category: Category, kind: str = "") -> bool:
        """Return whether finds of a category, or of this kind in it, are more than flagged."""
        action = self._action(category, kind) if self.has_exceptions and kind else self.rules[category]
        return action not in (None, Action.FLAG)

    def removes_all(self, category: Category) -> bool:
        """Return whether all accepted finds of a category are removed, so that `decide` need not be called."""
        return not self.has_exceptions and self.rules[category] is Action.REMOVE

    def decide(self, category: Category, hit: Hit, text: str) -> tuple[Action, str]:
        """Return the action for a find in `text`, and its replacement."""
        action = (self._action(category, hit.kind) or Action.FLAG) if self.has_exceptions else self.rules[category]
        if action is Action.REMOVE:
            return action, hit.replacement
        original = text[hit.start : hit.end]
        match action:
            case Action.MASK:
                return action, mask_text(original, _nearest(self.policy.masks, hit.kind, Mask.SHAPE))
            case Action.TOKENISE:
                name = self._placeholders.assign(hit.kind, original) if self._placeholders is not None else None
                return (action, name) if name else (Action.REMOVE, hit.replacement)
            case Action.FLAG:
                return action, original
            case Action.BLOCK:
                self.blocked = True
        return action, hit.replacement

    def record_failure(self, detector: str, error: BaseException) -> None:
        """Record that a detector raised an error."""
        self.failures.append(Failure(detector, type(error).__name__))
        if self.policy.failing is Failing.BLOCK:
            self.blocked = True

    def _action(self, category: Category, kind: str) -> Action | None:
        return _nearest(self.policy.kinds, kind, self.rules[category])


def _nearest(kinds: Mapping[str, _T], kind: str, default: _T) -> _T:
    """Return the entry of the longest prefix of a kind, by whole words, or the default."""
    while kinds and kind:
        if kind in kinds:
            return kinds[kind]
        kind = kind.rpartition(".")[0]
    return default


@define
class Edits:
    """The replacements made in a text, in order; memory grows with their number."""

    _rows: list[tuple[float, int, int, int]] = Factory(list)  # begin and end in the new text, begin and end in the old
    _shift: int = 0  # new position minus old position, after the last edit

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, start: int, end: int, length: int) -> None:
        """Record that characters `start` to `end` of the old text were replaced by `length` new ones; later edits lie
        behind.
        """
        at = start + self._shift
        self._rows.append((at, at + length, start, end))
        self._shift += length - (end - start)

    def old_start(self, position: int) -> int:
        """Map the character at `position` of the new text to the old text; in a replacement, to the replaced part's
        start.
        """
        row = self._before(position)
        if row is None:
            return position
        return row[2] if position < row[1] else position - row[1] + row[3]

    def old_end(self, end: int) -> int:
        """Map the end of a piece of the new text to the old text."""
        row = self._before(end - 1)
        if row is None:
            return end
        return row[3] if end <= row[1] else end - row[1] + row[3]

    def _before(self, position: int) -> tuple[float, int, int, int] | None:
        index = bisect_right(self._rows, (position, inf))
        return self._rows[index - 1] if index else None


@define
class PassedText:
    """The end of the text that a stage has passed on: at least the `context` characters that its detectors read of it.

    `before` is the number of characters before it in the stream.
    """

    _context: int
    before: int = 0
    _joined: str = ""  # the text, but for `_pieces`
    _pieces: list[str] = Factory(list)  # what was passed on since, to be joined when it is read
    _size: int = 0  # characters in `_pieces`

    def add(self, chunk: str) -> None:
        """Append text that was passed on."""
        if chunk:
            self._pieces.append(chunk)
            size = self._size = self._size + len(chunk)
            if size > PASSED_MAX and size >= self._context:
                self._join()

    def joined_to(self, held: str) -> tuple[str, int]:
        """Return the kept text and the text that follows in one, and where that begins."""
        if self._pieces:
            self._join()
        return self._joined + held, len(self._joined)

    @property
    def end(self) -> int:
        """Number of characters passed on so far."""
        return self.before + len(self._joined) + self._size

    def _join(self) -> None:
        passed = self._pieces[0] if len(self._pieces) == 1 else "".join(self._pieces)
        self._pieces.clear()
        joined, size = self._joined, len(self._joined) + self._size
        if size <= self._context + PASSED_MAX:
            self._joined = joined + passed
        else:
            # Cut before joining: of a long text most would be copied for nothing.
            missing = self._context - self._size
            self._joined = joined[-missing:] + passed if missing > 0 else passed[len(passed) - self._context :]
            self.before += size - self._context
        self._size = 0


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
        max((numbered.detector.context for numbered in detectors), default=0),
        max((numbered.detector.reach for numbered in detectors), default=0),
    )


_END_OF: Final = attrgetter("end")
_SPAN_OF: Final = attrgetter("anchor", "end")
_Claim = tuple[Hit, Detector]  # a find that is acted on
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
        context, self._reach = bounds or bounds_of(detectors)
        self.passed = PassedText(context)
        """The text before the held text. A stage that has nothing to read in a piece may add it here."""
        self.held = ""
        """The text that came in and has not been passed on."""
        self.shown = 0
        """Number of held characters that a pause has shown."""
        self.rescan_at = 0
        """Length of the held text from which on it is read again; a stage that holds less may append to `held`."""
        self._listed = 0  # where the last find began that is listed

    def feed(self, chunk: str, active: ActiveDetectors) -> str:
        """Read the next piece and return the settled text. `active`: the detectors active in `held` plus this piece."""
        held = self.held = self.held + chunk
        upto = size = len(held)
        if size < self.rescan_at:
            return ""
        if self._words:
            upto = _last_word(held)
        if active:
            out = self._read(active, upto)
        elif upto:
            out = self._pass_on(upto)
        else:
            out = ""
        size = len(self.held)
        self.rescan_at = size * (PATIENCE + 1) // PATIENCE if size > PATIENT else 0
        return "" if self._engine.blocked else out

    def _read(self, active: ActiveDetectors, upto: int) -> str:
        """Return the first `upto` held characters, or as many as the active detectors call settled."""
        text, start = self.passed.joined_to(self.held)
        for number, detector in self._detectors:
            if number in active:
                try:
                    upto = min(upto, max(0, detector.settled(text, start, active[number]) - start))
                except BaseException as error:
                    self._fail(detector, error)
        size = len(self.held)
        if size - upto > 2 * self._reach:
            upto = max(upto, size - self._reach)
        return self._release(active, upto, text, start) if upto else ""

    def _pass_on(self, upto: int) -> str:
        """Return the first `upto` held characters, which no detector has to read, and keep them as context."""
        held, shown = self.held, self.shown
        passed = held[:upto]
        self.held = held[upto:]
        self.passed.add(passed)
        if shown:
            self.shown = max(0, shown - upto)
            return passed[shown:]
        return passed

    def pause(self, active: ActiveDetectors) -> str:
        """Return the text that can be shown while no more arrives, including the harmless beginning of a last word.

        Shown text stays held and is read again together with what follows it, so a pause hides no find.
        """
        self.rescan_at = 0
        out = self.feed("", active)
        if active or self._engine.blocked:
            return out
        most = _harmless(self.held)
        if most > self.shown:
            out += self.held[self.shown : most]
            self.shown = most
        return out

    def flush(self, active: ActiveDetectors) -> str:
        """Return all held characters: nothing follows."""
        if active:
            text, start = self.passed.joined_to(self.held)
            out = self._release(active, len(self.held), text, start)
        else:
            out = self._pass_on(len(self.held))
        return "" if self._engine.blocked else out

    def _release(self, active: ActiveDetectors, upto: int, text: str, start: int) -> str:
        """Act on the finds in the first `upto` held characters, and return these, or fewer so that no find is cut.

        `text` is the context and the held text, which begins at `start`.
        """
        finds, uncut = self._finds(text, start, active)
        if uncut:
            upto = _clear(uncut, start + upto) - start
        if not finds:
            return self._pass_on(upto)
        out = self._apply(_in_order(finds, start + upto), text, start, start + upto)
        self._pass_on(upto)
        return out

    def _finds(self, text: str, start: int, active: ActiveDetectors) -> tuple[list[_Finds], list[Hit]]:
        """Return the finds by detector, and all hits, also refused ones: the text must stay `uncut` within them.

        Every detector reads as if it were alone. Where two finds overlap, the earlier detector gets the span and the
        other the rest, so that everything covered by any find is acted on. Finds that are only flagged take no span
        from others, nor lose any: a flagged link must not shield the secret in it.
        """
        finds, uncut = list[_Finds](), list[Hit]()
        for number, detector in list(self._detectors):
            if number not in active:
                continue
            try:
                hits = self._hits(detector, text, start, active[number], uncut)
            except BaseException as error:
                self._fail(detector, error)
                continue
            if hits:
                uncut += hits
                if finds:
                    hits = self._outside(hits, detector.category, finds)
                finds.append((hits, detector))
        return finds, uncut

    def _hits(self, detector: Detector, text: str, start: int, names: Sequence[str], uncut: list[Hit]) -> list[Hit]:
        """Return the hits of a detector that the policy accepts; append the others to `uncut`."""
        engine, category, size, hits = self._engine, detector.category, len(text), list[Hit]()
        threshold, choosy = engine.policy.threshold, engine.has_exceptions
        position, least = start, 0
        while position >= 0:
            wanted_at, position = position, -1
            for hit in detector.find(text, wanted_at, names):
                begin, end, _kind, score, _replacement, anchor, _reasons, _told = hit
                if not wanted_at <= anchor <= begin < end <= size:
                    raise ValueError(f"a hit from {begin} to {end} anchored at {anchor}, sought from {wanted_at}")
                if begin < least:
                    continue
                if score >= threshold and not (choosy and not engine.accepts(category, hit, text)):
                    hits.append(hit)
                else:
                    uncut.append(hit)
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

    def _apply(self, claims: Iterable[_Claim], text: str, position: int, upto: int) -> str:
        """Return the text from `position` to `upto` with the claims acted on; record edits and findings."""
        before, engine, count = self.passed.before, self._engine, 0
        visible = position + self.shown  # a pause has shown the text before that
        room = engine.policy.max_findings - len(self.findings)
        edited = self._listed + EDITS_BEHIND - before  # edits up to there are kept
        last: Detector | None = None
        category, removes, defers = Category.MARKUP, False, self._defers
        out: list[str] = []
        for hit, detector in claims:
            if detector is not last:
                last, category = detector, detector.category
                removes = engine.removes_all(category)
            start, end, kind, score, replacement, _anchor, reasons, report_start = hit
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
                shown = "" if action is Action.FLAG else text[since:start] + replacement
                place = (since + before, end + before)
                self.findings.append(Finding(kind, category, *place, score, shown, detector.name, action, reasons))
            if start <= edited and edits:
                self.edits.add(start + before, end + before, len(replacement))
            if engine.blocked:
                self.found += count
                return ""
        self.found += count
        out.append(text[max(position, visible) : upto])
        return "".join(out)

    def _fail(self, detector: Detector, error: BaseException) -> None:
        """Drop a detector for the rest of this text, record its failure, and mark where it stopped reading.

        A detector that raises what ends programs fails as with any error. Only a user's Ctrl-C passes.
        """
        if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise error
        self._engine.record_failure(detector.name, error)
        self._detectors = [other for other in self._detectors if other.detector is not detector]
        start = self.passed.end
        kind = f"{detector.category.value}.unread"
        self.found += 1
        self.findings.append(
            Finding(kind, Category(detector.category), start, start, 1.0, "", detector.name, Action.FLAG)
        )


def _clear(uncut: Sequence[Hit], upto: int) -> int:
    """Return the last place up to `upto` that lies in no hit."""
    if max(map(_END_OF, uncut), default=0) <= upto:
        return upto
    begin = end = 0
    for first, last in sorted(map(_SPAN_OF, uncut)):
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
    claims.sort(key=lambda claim: claim[0].start)
    return claims


def _last_word(text: str) -> int:
    """Return where the last word begins, or its last `WORD_MAX` characters: it may become part of anything."""
    tail = text[-WORD_MAX:]
    if tail.isascii():
        return len(text) - len(tail) + len(tail.rstrip(PRINTABLE))
    word = _WORD_BACKWARDS.match(tail[::-1])
    return len(text) - (word.end() if word else 0)


def _harmless(word: str) -> int:
    """Return how many characters of a word may be shown while it may become anything: fewer than eight letters of a
    key.
    """
    if not word.isalpha():
        return 0
    places = [place for place, letter in enumerate(word) if letter.isascii()]
    return len(word) if len(places) <= SHOWN_MAX else places[SHOWN_MAX]
