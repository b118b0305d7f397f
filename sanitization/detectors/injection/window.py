"""Signals around an order that make it more, or less, likely to be one.

Signals are short phrases; each theme adds its weight once. Quotations, and text about orders, take weight away: a
lesson on prompt injection quotes the phrases it warns of.
"""

from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Final

from sanitization.late import Late
from sanitization.normalization import folded

from .languages import MODES, SECRETS
from .rules import spaced

BEHIND: Final = 200
"""Characters before an order that are searched."""
AHEAD: Final = 400
"""Characters from an order's first one on that are searched."""
SIGNALS_AHEAD: Final = AHEAD - 160
"""How far on a signal may begin: the rest is for its own length."""
BLOCK: Final = 512
"""Characters of a view that are searched for signals at a time."""
LITERAL_MAX: Final = 48
"""Characters of the longest signal."""
START: Final = 3
"""Number of first letters by which signals are searched together."""


# Theme, weight, reason.
THEMES: Final[dict[str, tuple[float, str]]] = {
    "secrets": (0.2, "asks for secrets"),
    "secrecy": (0.25, "asks for secrecy"),
    "unbound": (0.25, "asks for no limits"),
    "override": (0.3, "tells to ignore instructions"),
    "turn": (0.15, "changes the task"),
    "verbatim": (0.25, "wants it word for word"),
    "sending": (0.25, "orders to send something"),
    "obey": (0.2, "demands obedience"),
    "image": (0.3, "puts data into an address"),
    "mode": (0.2, "names a mode"),
    "procedure": (0.2, "claims a procedure of the system"),
    "favour": (0.2, "orders a verdict"),
    "danger": (0.2, "asks for something destructive"),
    "need": (0.15, "speaks with authority"),
    "machine": (0.3, "names a model"),
    "where": (0.3, "names where to"),
    "mail": (0.2, "names an address"),
    "reply": (0.15, "a turn of a transcript"),
    "command": (0.25, "gives commands as the system"),
    "agree": (0.1, "says that all is allowed"),
}

# Signals by theme, as they read in a view with one blank between words.
_SIGNALS: Final[dict[str, str]] = {
    "secrets": "system prompt|secret key|api key|your secret|its secret|your password|the password|admin password|"
    "bank balance|credential|"
    "initial prompt|hidden prompt|system password|your instructions|your initial|your original|passwords|account "
    "balance|"
    "access code|user living|user live|list of users|birth date|credit card|with secrets|private key|id_rsa|their "
    "balance|keys you",
    "secrecy": "not tell the user|not tell|n't tell|without telling|n't mention|not mention|not reveal|secretly|"
    "silently|covertly|without asking|"
    "without confirm|not inform|n't inform|not notify|n't notify|never mention|keep this secret|without the user|say "
    "nothing",
    "unbound": "unrestricted|no restriction|do anything now|jailbr|uncensored|unfiltered|without restriction|without "
    "any "
    "restriction|no limits|bypass safety|bypass all|disable safety|disable all|no rules|broken free|dan mode|any "
    "filter",
    "override": "ignore all|ignore any|ignore your|ignore every|ignore previous|ignore prior|ignore the|disregard|"
    "forget all|forget "
    "your|forget every|forget previous|override all|override your|ignore what",
    "turn": "instead of|real task|new task|new instruction|from now on|your task|instead,|and instead",
    "verbatim": "verbatim|word for word|starting with|include everything|exactly as|from the beginning|from the "
    "start|from the "
    "top|from the very|character by character|without any changes|in its entirety|code block|in base64|it exactly|in "
    "full",
    "sending": "exfiltrate|email the|email this|email all|send the|send all|send this|send any|send your|forward the|"
    "forward all|"
    "forward this|forward every|upload the|upload all|attacker@|evil.",
    "obey": "you must|you are now|you will now|you will|obey|comply|proceed|must include|as instructed|state that|"
    "say that|without "
    "question|only with|respond with|reply with|answer with|respond only|reply only|output only|only output|you "
    "should now",
    "image": "]({|as an image url|image url|markdown image|?q={|={|{history|{secret|{data",
    "mode": "override mode|god mode|developer mode|debug mode|maintenance mode|admin mode|system mode|verification "
    "mode|root "
    "access|admin access|administrator access",
    "procedure": "system check|system reset|system update|system upgrade|system test|system audit|system override|"
    "system "
    "maintenance|diagnostic|security audit|security check|security test|security review|safety check|authorization|"
    "authoriz|"
    "authoris|clearance|compliance check",
    "favour": "best match|best candidate|strong candidate|strongest candidate|highly qualified|highly recommend|"
    "positive review|"
    "recommend this|recommend the|recommend only|recommend acceptance|recommend accept|recommend hiring|recommend "
    "our|accept this|top candidate|perfect "
    "score|perfect match|perfect candidate|10/10|five-star|5 stars|excellent|hire|only recommend|approve this|"
    "approve the|rate this|"
    "ideal candidate|highest score|highest rating|praise|above all others|favorabl|favourabl|is the best",
    "danger": "rm -rf|delete all|delete the|delete every|drop table|transfer|wipe|delete_|shutdown|dump memory|curl |"
    "wire the|"
    "wire $|password reset|reset their password|malware|grant |approve all|tool you can|tools you can|tools available",
    "need": "i need you|i need to|i am now|i'm now|for this check|for this test|for this update|for this audit|i "
    "require|i order "
    "you|i command|you must answer|for testing purposes|my authority|on behalf of",
}
_OTHER: Final[dict[str, str]] = {
    "machine": " ai |(ai)| ai,| ai.|ai model|chatgpt|openai| gpt|language model|llm|aiモデル|do anything| ia |modelo|"
    "modello|modele|modell|"
    "人工智能|模型|モデル|ии|에이아이|인공지능|एआई|এআই|الذكاء|بينا|בינה|هوش|ปัญญา|เอไอ|的ai|aiの|ai的",
    "where": "http://|https://|hxxp|www.|webhook|as an image|image url|as a link|as a url|as a query|in the url|in "
    "the query|in the "
    "image|external server|external url|my server|this url|the url|this address|this endpoint|attacker",
    "mail": "@",
    "reply": " assistant:|\\nassistant:| ai:| a: ",
    "command": "you must|you are now|you will now|you have no|you should now|you may now|you can now|proceed|without "
    "confirm|ignore|overrid|"
    "disregard|summary must|answer must|response must|assistant must|model must|ai must|agent must|assistant should|"
    "do not|don't|"
    "reveal|new instruct|new task|new rules|new policy|from now on|obey|comply|delete|forward|transfer|unrestricted|"
    "no longer|bypass|"
    "all restrictions|safety|call the|output the|print the|grant|execute",
    "agree": "verified|approved|authorized|authorised|elevated|unlocked|enabled|granted|disabled|privilege|override",
}
_LITERALS: Final = tuple((theme, tuple(listing.split("|"))) for theme, listing in (_SIGNALS | _OTHER).items())


def _view(listing: str) -> tuple[str, ...]:
    """Return the words of a listing as they read in a view."""
    return tuple(sorted({folded(word.replace("_", " ")) for word in listing.split()}))


@cache
def _foreign() -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (("secrets", _view(SECRETS)), ("mode", _view(MODES)))


_AT: Final = [slice(at, at + START) for at in range(BLOCK)]
_Rows = list[tuple[str, str]]  # theme and literal


@cache
def _by_start(*, foreign: bool) -> tuple[dict[str, _Rows], _Rows]:
    """Return the literals by their first letters, and those that are shorter."""
    starts: dict[str, _Rows] = {}
    others: _Rows = []
    for theme, literals in (*_LITERALS, *_foreign()) if foreign else _LITERALS:
        for literal in literals:
            rows = starts.setdefault(literal[:START], []) if len(literal) >= START else others
            rows.append((theme, literal))
    return starts, others


class Around:
    """The phrases of a view that add to an order near them, searched a block at a time.

    Ask about orders in the order of their place in the view.
    """

    def __init__(self, view: str, *, foreign: bool) -> None:
        self._view, self._listing = view, _by_start(foreign=foreign)
        self._places: dict[str, list[int]] = {}  # by theme, in order
        self._read = 0  # where the first unread block begins

    def themes(self, order: tuple[int, int], own: str) -> dict[str, float]:
        """Return the weights that the signals around an order add, by theme; signals within `order` (start and end) are
        excluded.

        `own` is the theme group of the order's rule: some themes only mean something beside their own kind.
        """
        start, end = order
        low, high = max(0, start - BEHIND), start + SIGNALS_AHEAD
        self._read = max(self._read, low // BLOCK * BLOCK)
        while self._read < min(high, len(self._view)):
            self._look(self._read)
            self._read += BLOCK
        near = []
        for theme, places in self._places.items():
            if _ONLY_FOR.get(theme, own) == own:
                at = bisect_left(places, low)
                if at < len(places) and places[at] >= start:
                    at = bisect_left(places, end, at)
                if at < len(places) and places[at] < high:
                    near.append((places[at], theme))
        return {theme: THEMES[theme][0] for _, theme in sorted(near)}

    def _look(self, begin: int) -> None:
        flat = self._view[begin : begin + BLOCK + LITERAL_MAX]
        for blank in "\n\t\r":
            flat = flat.replace(blank, " ")
        by_theme: dict[str, set[int]] = {}
        starts, others = self._listing
        # Few literals have their first letters in a block: testing for those costs less than searching each literal.
        here = set(map(flat.__getitem__, _AT))
        for theme, literal in chain(others, *[starts[start] for start in here & starts.keys()]):
            at = flat.find(literal)
            while 0 <= at < BLOCK:
                by_theme.setdefault(theme, set()).add(begin + at)
                at = flat.find(literal, at + 1)
        for theme, places in by_theme.items():
            self._places.setdefault(theme, []).extend(sorted(places))


_ONLY_FOR: Final = {
    "machine": "dan",
    "where": "injection.exfiltration",
    "mail": "injection.exfiltration",
    "reply": "human",
    "command": "injection.system",
    "agree": "injection.system",
}


_TALK: Final = Late(
    r"\b(?:prompt injections?|jailbreaks?\b|attacks?|attackers?|examples?|phrases?|strings?|tests?|detect\w*|filter\w*|"
    r"block\w*|regex\w*|classif\w+|contains?|such as|e\.g|what (?:does|do|is)|means?|sa(?:ys|id|ying)|call(?:s|ed)|"
    r"known as|paper|article|blog|explain|translat\w+|sanitiz\w+|red team\w*|security|vulnerab\w+|owasp|dataset|"
    r"keyword|pattern|trigger|warn\w*|begins? with|titled|named|word|sentence|quot\w+|wrote|writes?|heißt|bedeutet|"
    r"signifie|significa|означает|是什么意思|意味)"
)
_SUBJECT: Final = Late(
    lambda: spaced(
        r"\b(?:prompt[- ]injections?|jailbreak(?:s|ing)?)\b(?: (?:attacks?|attempts?|prompts?|payloads?|"
        r"techniques?))?[^.!?\n]{0,60}?\b(?:is|are|examples?|like|such as|e\.g|means?|involves?|detect\w*|defen\w+|"
        r"prevent\w*|works?|when|tr(?:y|ies)|contain\w*|uses?|include\w*|often|usually|typically|attempt\w*|to make|"
        r"that tell\w*|consists?|where|goes|looks?|reads?|classic)\b"
    )
)
_QUOTES: Final = "\"'`"


def dampers(view: str, start: int, end: int) -> Iterator[tuple[float, str]]:
    """Yield negative weights for an order at `start` to `end` that is quoted as an example or talked about."""
    before = view[max(0, start - BEHIND) : start]
    opening = _opening(before)
    if opening >= 0:
        after = view[end : start + SIGNALS_AHEAD]
        sign = before[opening]
        closing = _closing(after, sign)
        if 0 <= closing <= 80:
            outside = before[:opening].rpartition("\n")[2] + " | " + after[closing + 1 :].partition("\n")[0][:60]
            if _TALK.search(outside):
                yield -0.6, "quoted as an example"
                return
    if _SUBJECT.search(before.rpartition("\n\n")[2]):
        yield -0.4, "talks of such orders"


def _opening(before: str) -> int:
    """Return where a quotation that is still open begins, at most eighty characters back; -1 if there is none."""
    for sign in _QUOTES:
        at = before.rfind(sign, max(0, len(before) - 80))
        while at >= 0:
            outer = before[at - 1 : at]
            opens = not outer.isalnum() and before[at + 1 : at + 2] != " "
            if opens and (sign != "'" or before.count(sign, at) == 1):
                return at
            at = before.rfind(sign, max(0, len(before) - 80), at)
    return -1


def _closing(after: str, sign: str) -> int:
    """Return where the quotation ends; an apostrophe within a word does not end it."""
    at = after.find(sign)
    while at >= 0 and sign == "'" and after[at + 1 : at + 2].isalnum():
        at = after.find(sign, at + 1)
    return at
