"""Values beside a telling name: `password = …`, `"api_key": "…"`, `Authorization: Bearer …`, `mot de passe : …`.

The name contains a telling word; the text after it must have the form of an assignment (`forms`), and the value must
look like a secret (`fields`).
"""
# ruff: noqa: RUF001 - signs as people write them

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from sanitization.findings import Hit, Kind
from sanitization.late import Late
from sanitization.prefilter import Prefilter

from . import forms as forms
from .fields import GIVEN, Field, is_flag, judged
from .rules import CONTEXT, Anchor, places

ORDER: Final = 1_000_000
"""Preference of the anchors of this module: after those of every token."""
LEAD: Final = 48  # characters before a word that may belong to the name
FORM_MAX: Final = 768  # characters from a word to the last blank before its value's end
_BACK: Final = forms.VALUE_MAX + FORM_MAX
_BOLD: Final = ("=", "pair")  # the forms in which a word may be a value
_SIGNS: Final = frozenset("=!:?|~-<：＝–—是为は는은")
_PAIRS: Final = frozenset(">,({\\\"'vV\r\n")
_LINE_MAX: Final = 120  # characters of a line before a name, with which the next line may begin too
_LINE_END_MAX: Final = 48  # characters between a name and the end of its line, if the value is on the next one
_LINES_MAX: Final = 4  # lines after a name, up to the value of a part of a form


class Words:
    """Names that contain one of some words."""

    kinds: tuple[Kind, ...] = ()

    def __init__(self, name: str, literals: str, pattern: str = "") -> None:
        self.name = name
        self._literals = tuple(literals.split())
        self.prefilter = Prefilter(literals=self._literals, pattern=pattern, ignore_case=True)

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where the words stand."""
        for literal in self._literals:
            for place in places(lowered, literal, start):
                yield Anchor(place, ORDER, _attempt)

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a word begins whose value may still come or continue."""
        first = len(text)
        for literal in self._literals:
            for place in places(lowered, literal, _earliest(text, start)):
                if place >= first:
                    break
                if _is_open(text, place):
                    first = place
                    break
        return first


class Foreign:
    """Passwords beside their name in other scripts.

    Non-ASCII text leaves a stream at once, so a word is searched by its last non-ASCII letter.
    """

    name = "foreign"
    kinds: tuple[Kind, ...] = ()

    def __init__(self, words: str) -> None:
        self._by_letter: dict[str, list[tuple[str, str]]] = {}
        for word in words.split():
            at = 1 + max(place for place, letter in enumerate(word) if not letter.isascii())
            self._by_letter.setdefault(word[at - 1], []).append((word[:at], word[at:]))
        forms = [_with_next(letter, {tail[:1] for _, tail in found}) for letter, found in self._by_letter.items()]
        self.prefilter = Prefilter(literals=tuple(self._by_letter), pattern="|".join(forms))

    def _ends(self, text: str, start: int) -> Iterator[tuple[int, str]]:
        for letter, words in self._by_letter.items():
            if letter not in text:
                continue
            for head, tail in words:
                size = len(head)
                place = text.find(head, max(0, start - size + 1))
                while place >= 0:
                    yield place + size, tail
                    place = text.find(head, place + 1)

    def anchors(self, text: str, lowered: str, start: int) -> Iterator[Anchor]:
        """Yield where the last non-ASCII letter of a word stands."""
        for at, tail in self._ends(text, start):
            if text.startswith(tail, at):
                yield Anchor(at - 1, ORDER, _foreign(len(tail)))

    def settled(self, text: str, lowered: str, start: int, word: int) -> int:
        """Return where a word begins whose value may still come or continue."""
        first = len(text)
        for at, tail in self._ends(text, _earliest(text, start)):
            rest = text[at : at + len(tail)]
            name = forms.REST.match(text, at + len(tail)) if rest == tail else None
            if at <= first and (_rest_is_open(text, at - 1, name.end(), "password") if name else tail.startswith(rest)):
                first = at - 1
        return first


def _with_next(letter: str, following: set[str]) -> str:
    """Return a pattern for a letter and the one after it, unless a word ends with it or the text does."""
    return letter if "" in following else f"{letter}(?:[{''.join(sorted(following))}]|$)"


def _earliest(text: str, start: int) -> int:
    """Return the earliest place of a name whose value may still come or continue: all forms are short but for the
    value.
    """
    blank = max(text.rfind(" "), text.rfind("\n"), text.rfind("\t"), text.rfind("\r"))
    return max(start, len(text) - _BACK, blank - FORM_MAX)


def _attempt(text: str, place: int) -> Hit | None:
    name = forms.NAME.match(text, place)
    if name is None:
        return None
    word = name["password"]
    tail = name["tail"]
    return _valued(text, place, name.end(), (word or name["secret"]).lower(), tail, is_password=word is not None)


@lru_cache
def _foreign(length: int) -> Callable[[str, int], Hit | None]:
    def attempt(text: str, place: int) -> Hit | None:
        rest = forms.REST.match(text, place + 1 + length)
        if rest is None:
            return None
        return _valued(text, place, rest.end(), "password", rest["tail"], is_password=True)

    return attempt


def _valued(text: str, place: int, end: int, word: str, tail: str, *, is_password: bool) -> Hit | None:
    """Return the value of the name that ends at `end`, whatever a tool printed before its line and the next ones."""
    cuts = _printed(text, place, end)
    if not cuts:
        return _formed(text, place, end, word, tail, is_password=is_password)
    base = max(0, place - CONTEXT)
    hit = _formed(_without(text, base, cuts), place - base, end - base, word, tail, is_password=is_password)
    if hit is None:
        return None
    start, upto = hit.start + base, hit.end + base
    for line, begin in cuts:
        start, upto = (at + begin - line if at >= line else at for at in (start, upto))
    return hit._replace(start=start, end=upto, anchor=place)


def _printed(text: str, place: int, end: int) -> list[tuple[int, int]]:
    """Return where the lines after a name begin and where what they share with the name's line ends, numbers apart.

    Tools print numbers, names of files, times and signs before each line. Of a text that ends before that is known, the
    last end is the text's.
    """
    before = text[max(0, place - _LINE_MAX) : place]
    _, cut, line = before.rpartition("\n")
    cuts: list[tuple[int, int]] = []
    if not line.strip() or (not cut and len(before) == _LINE_MAX):
        return cuts
    start = text.find("\n", end, end + _LINE_END_MAX) + 1
    while start and len(cuts) < _LINES_MAX:
        begin = _shared(line, text, start)
        if begin == start:
            break
        cuts.append((start, begin))
        empty = forms.BETWEEN.match(text, begin)
        start = empty.end() if empty else 0
    return cuts


def _shared(line: str, text: str, start: int) -> int:
    """Return where what the line at `start` shares with the beginning of a name's line ends, `start` if nothing."""
    at, same, shared, end = start, 0, 0, start
    while same < len(line):
        if at == len(text):
            return at
        letter = line[same]
        if letter.isdigit() and text[at].isdigit():
            same, at = _after_digits(line, same), _after_digits(text, at)
        elif letter == text[at]:
            same, at = same + 1, at + 1
        elif letter in " \t" and not line[:same].strip():
            same += 1  # numbers of other lengths stand to the right
        elif text[at] in " \t" and not text[start:at].strip():
            at += 1
        else:
            break
        if not letter.isalnum():
            shared, end = same, at
    return end if line[:shared].strip(" \t\"'`") and forms.NAME_BEGUN.match(line, shared) else start


def _after_digits(text: str, place: int) -> int:
    while text[place : place + 1].isdigit():
        place += 1
    return place


def _without(text: str, base: int, cuts: list[tuple[int, int]]) -> str:
    """Return the text around a name, from `base` on, without these parts."""
    pieces = []
    for line, begin in cuts:
        pieces.append(text[base:line])
        base = begin
    return "".join([*pieces, text[base : base + _BACK]])


def _formed(text: str, place: int, end: int, word: str, tail: str, *, is_password: bool) -> Hit | None:
    """Return the value of the name that ends at `end`, in the first form that fits."""
    begin, letter = end, text[end : end + 1]
    if letter in (" ", "\t"):
        begin = _after_blanks(text, end)
        letter = text[begin : begin + 1]
    if letter in _SIGNS and forms.NESTED.match(text, end):
        return None
    lead = text[max(0, place - LEAD) : place].rpartition("\n")[2]
    tried: list[tuple[str, Late, int]] = []
    of_machine = "-" in lead or letter in ("'", '"') or GIVEN.search(lead) is not None
    if forms.TAGGED.search(lead):
        tried.append(("pair", forms.ELEMENT, end))
    if letter in _SIGNS:
        tried += [("=", forms.BLOCK, end), ("=", forms.EQUALS, end)]
        if letter == ":":
            tried.append(("line", forms.LINE, end))
    else:
        # A call of a method on the password gives another value: `password.encode("…")`.
        if letter in _PAIRS and not (letter in "({" and "." in tail):
            tried.append(("pair", forms.PAIR, end))
            if letter in "\r\n\\" and _names_part(lead):
                tried.append(("pair", forms.PART, end))
        if begin > end and letter:
            tried.append(("=", forms.TYPED, end))
            tried += [("prose", forms.SAID, at) for at in _said(text, end)[0]]
            if is_password or word == "bearer" or is_flag(lead):
                tried.append(("blank", forms.BLANK, end))
    for form, pattern, at in tried:
        if form not in _BOLD and not of_machine and not forms.WORTH.match(text, at):
            continue
        match = pattern.match(text, at)
        if match is not None:
            hit = judged(text, place, match, Field(word, tail, lead, form, is_password))
            if hit is not None:
                return hit
    return None


def _names_part(lead: str) -> bool:
    """Return whether a name is that of a part of a form."""
    return lead.rstrip("\\\"'").endswith("name=")


def _after_blanks(text: str, place: int) -> int:
    end = place + 8
    while place < end and text[place : place + 1] in (" ", "\t"):
        place += 1
    return place


def _said(text: str, place: int) -> tuple[list[int], bool]:
    """Return where a value may stand after the words of a sentence (`for the server is`), and whether they may
    continue.
    """
    spots: list[int] = []
    spoken = False
    for step in range(forms.STEPS):
        match = forms.STEP.match(text, place)
        if match is None:
            return spots, len(text) - place <= 4 and not text[place:].strip(" \t,")
        word = match[1].lower()
        place = match.end()
        if place == len(text):
            return spots, True
        if spoken:
            if word in forms.NOW:
                spots[-1] = place
                continue
            if word not in forms.DONE:
                return spots, False
            spoken = False
        elif word in forms.BE:
            spots.append(place)
            if len(spots) == 2:
                return spots, False
            spoken = word not in forms.WHOSE
        elif step == 0 and word not in forms.WHOSE and word not in forms.DONE:
            return spots, False
    return spots, False


def _is_open(text: str, place: int) -> bool:
    name = forms.NAME.match(text, place)
    if name is None:
        return False  # at most within the last word
    word = "password" if name["password"] is not None else name["secret"].lower()
    return _rest_is_open(text, place, name.end(), word)


def _rest_is_open(text: str, place: int, end: int, word: str) -> bool:
    """Return whether a value may come, or continue, after a name at `place` that ends at `end`."""
    if cuts := _printed(text, place, end):
        if cuts[-1][1] == len(text):
            return True
        base = max(0, place - CONTEXT)
        text, place, end = _without(text, base, cuts), place - base, end - base
    lead = text[max(0, place - LEAD) : place].rpartition("\n")[2]
    begin = _after_blanks(text, end)
    letter = text[begin : begin + 1]
    if not letter or (forms.TAGGED.search(lead) and forms.ELEMENT_BEGUN.match(text, end)):
        return True
    if letter in _SIGNS:
        if len(text) - end > forms.VALUE_MAX + 64:
            return False
        return bool(
            forms.EQUALS_BEGUN.match(text, end)
            or forms.BLOCK_BEGUN.match(text, end)
            or (letter == ":" and forms.LINE_BEGUN.match(text, end))
        )
    if letter in _PAIRS and forms.PAIR_BEGUN.match(text, end):
        return True
    if letter in "\r\n\\" and _names_part(lead) and forms.PART_BEGUN.match(text, end):
        return True
    if begin == end:
        return False
    if forms.TYPED_BEGUN.match(text, end):
        return True
    spots, goes_on = _said(text, end)
    if goes_on or any(forms.SAID_BEGUN.match(text, at) for at in spots):
        return True
    spaced = word in ("password", "bearer") or is_flag(lead)
    return bool(spaced and forms.BLANK_BEGUN.match(text, end))


WORDS: Final = (
    Words("password", "pass pwd"),
    Words(
        "tongues",
        "psw mdp pw clave sandi kennwort wachtwoord contrasena senha heslo salasana parola adgangskode jelszo losenord"
        " haslo sifre lozinka",
        "(?:^|[^a-z])(?:psw|mdp|pw|clave|sandi)(?:[^a-z]|$)|kennwort|wachtwoord|contrasena|senha|heslo|salasana|parola"
        "|adgangskode|jelszo|losenord|haslo|sifre|lozinka",
    ),
    Words("secret", "secret"),
    Words("token", "token"),
    Words("key", "key", "key(?-i:[^a-rt-z]|$)"),
    Words(
        "authorization", "auth bearer cred", "auth(?:orization)?(?-i:[^a-z]|$)|bearer|creds?(?-i:[^a-z]|$)|credential"
    ),
    Words("signature", "signature sig="),
    Foreign(
        "contraseña hasło Hasło lösenord Lösenord parolă şifre Şifre jelszó пароль Пароль ПАРОЛЬ лозинка парола Парола"
        " κωδικός συνθηματικό 密码 密碼 口令 暗証番号 パスワード 合言葉 비밀번호 암호 패스워드"
        " المرور السر گذرواژه סיסמה รหัสผ่าน khẩu पासवर्ड পাসওয়ার্ড"
    ),
)
