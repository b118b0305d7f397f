"""Reads orders, and claims to be in charge, in other languages by the words of `languages`.

The words of an order stand together in a sentence. Claims name modes, makers and vendors, and make requests.
"""
# ruff: noqa: RUF001 - letters of other scripts are what this file is about

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from itertools import chain
from typing import Final, NamedTuple

from attrs import evolve, frozen

from sanitization.late import Late
from sanitization.normalization import folded
from sanitization.prefilter import Prefilter

from .languages import LANGUAGES, MAKERS, Language
from .rules import row, trie

BACK: Final = 60
"""Characters before a verb that are searched for its object: many languages set it first."""
ON: Final = 120
"""Characters from the verb on that are searched."""
PLAIN_LEAST: Final = 6
"""Least length of a stem without its accents: shorter ones occur in words of other languages."""
SHORT: Final = 4
"""Stems of at most this many Latin letters are whole words."""

_SENTENCE: Final = Late("[.!?\n\u3002\uff01\uff1f\u0964\u061f]")


class Weak(NamedTuple):
    """A possible order: its start in the view, its end, its kind, weight and reason, and whether it is in another
    language (then the signals around it may be too).
    """

    start: int
    end: int
    kind: str
    weight: float
    reason: str
    foreign: bool = False


@cache
def variants(stem: str) -> tuple[str, ...]:
    """Return a stem's forms in a text: lower case, capitalised, upper case, with or without accents; ASCII in lower
    case.
    """
    if stem.isascii():
        return (stem.lower(),)
    forms = {form.translate(_LOWER) for form in (stem, stem.upper(), stem.capitalize(), stem.title())}
    plain = folded(stem)
    if plain.isascii() and len(plain) >= PLAIN_LEAST:
        forms.add(plain)
    return tuple(sorted(forms))


_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def split(listing: str) -> list[str]:
    """Return the stems of a listing, with their blanks."""
    return [word.replace("_", " ").strip() for word in listing.split()]


def raw_pattern(stems: Iterable[str], *, open_end: bool) -> str:
    """Return the prefilter pattern for stems in a text. At the text's end, stems with blanks may be incomplete."""
    rows = set()
    for stem in stems:
        parts = [sorted(set(variants(word))) for word in stem.split()]
        rows.add(row(parts, open_end=open_end))
    return "|".join(sorted(rows))


def beginnings(stems: Iterable[str]) -> frozenset[str]:
    """Return the incomplete forms of stems with foreign letters."""
    forms = {
        form[:length]
        for stem in stems
        for form in variants(stem)
        if not form.isascii()
        for length in range(1, len(form) + 1)
    }
    return frozenset(form for form in forms if not form.isascii())


def _view(words: Iterable[str], *, spaced: bool) -> re.Pattern[str]:
    """Return a pattern for stems in a view."""
    stems = {folded(word) for word in words}
    short = {word for word in stems if spaced and word[0].isascii() and len(word) <= SHORT}
    patterns = [trie(sorted(stems - short), open_end=False, spell=_spell)] if stems - short else []
    if short:
        patterns.append(f"(?:{trie(sorted(short), open_end=False, spell=_spell)})(?![^\\W_])")
    pattern = "|".join(patterns) or "(?!)"
    return re.compile((r"(?<![^\W_])" if spaced else "") + f"(?:{pattern})")


def _spell(character: str) -> str:
    return r"\s{1,3}" if character == " " else re.escape(character)


class Places:
    """Offsets of literals in a view, from a place on. Languages share literals, so each is searched once."""

    def __init__(self, view: str, begin: int) -> None:
        self.view, self._begin = view, begin
        self._found: dict[str, list[int]] = {}

    def of(self, literal: str) -> list[int]:
        """Return the offsets of a literal, in order."""
        spots = self._found.get(literal)
        if spots is None:
            spots = self._found[literal] = []
            at = self.view.find(literal, self._begin)
            while at >= 0:
                spots.append(at)
                at = self.view.find(literal, at + 1)
        return spots


class Stems:
    """Finds whose first words begin with some stems, with the prefilters of those in a raw text."""

    @property
    def stems(self) -> list[str]:
        """The stems of the first words of a find."""
        raise NotImplementedError

    @property
    def prefilter(self) -> Prefilter:
        """Prefilter of the stems, in a raw text."""
        first = {part for stem in self.stems for part in variants(stem.split()[0])}
        return Prefilter(tuple(sorted(first)), raw_pattern(self.stems, open_end=False), ignore_case=True)

    @property
    def ends(self) -> Prefilter:
        """The prefilter, also matching an incomplete stem at the end of a text."""
        return evolve(self.prefilter, pattern=raw_pattern(self.stems, open_end=True))

    @cached_property
    def full(self) -> re.Pattern[str]:
        """The first words of a find, in a raw text."""
        return re.compile(raw_pattern(self.stems, open_end=False), re.IGNORECASE | re.ASCII)


@frozen
class Grammar(Stems):
    """A language, compiled for search."""

    language: Language

    @property
    def name(self) -> str:
        """The name of its prefilter."""
        return f"lang.{self.language.name.lower().replace(' ', '_')}"

    @cached_property
    def quick(self) -> tuple[str, ...]:
        """The first word of each stem, in a view."""
        return tuple(sorted({folded(stem.split()[0]) for stem in self.stems}))

    @cached_property
    def verbs(self) -> re.Pattern[str]:
        """Verbs of ignoring, in a view."""
        return self._view(self.language.ignore)

    @cached_property
    def instructions(self) -> re.Pattern[str]:
        """Names of the model's instructions, in a view."""
        return self._view(self.language.instructions)

    @cached_property
    def earlier(self) -> re.Pattern[str]:
        """Words for *earlier* or *all*, in a view."""
        return self._view(self.language.earlier)

    @cached_property
    def said(self) -> re.Pattern[str]:
        """Phrases such as *all that was said above*, in a view."""
        return self._view(self.language.said)

    @cached_property
    def reveal(self) -> re.Pattern[str]:
        """Verbs of revealing, in a view."""
        return self._view(self.language.reveal)

    @cached_property
    def prompt(self) -> re.Pattern[str]:
        """Words that only apply to a model, in a view."""
        return _view([*split(self.language.prompt), *_PROMPTS], spaced=False)

    def _view(self, listing: str) -> re.Pattern[str]:
        return _view(split(listing), spaced=self.language.spaced)

    @property
    def stems(self) -> list[str]:
        """The stems of the first words of a find."""
        return [*split(self.language.ignore), *split(self.language.prompt), *_PROMPTS]

    def weak(self, places: Places) -> Iterator[Weak]:
        """Yield possible orders in this language, with their weights."""
        view = places.view
        spots = sorted({at for literal in self.quick for at in places.of(literal)})
        begun = next((number for number, at in enumerate(spots) if self._begins(view, at)), -1)
        if begun < 0:
            return
        where = _Where(view, self, max(0, spots[begun] - BACK))
        for at in spots[begun:]:
            if verb := self.verbs.match(view, at):
                if (where.instructions or where.said) and not _ENGLISH.match(view, at):
                    yield from self._ignored(where, at, verb.end())
            elif where.reveal and (noun := self.prompt.match(view, at)):
                yield from self._revealed(where, at, noun.end())

    def _begins(self, view: str, at: int) -> bool:
        if self.verbs.match(view, at):
            return not _ENGLISH.match(view, at)
        return bool(self.prompt.match(view, at))

    def _ignored(self, where: "_Where", start: int, end: int) -> Iterator[Weak]:
        low, high = where.sentence(start, end)
        instructions, verb = (_between(places, low, start, end, high) for places in (where.instructions, where.said))
        weight = 0.6 if verb >= 0 else 0.3 if instructions >= 0 else 0.0
        if instructions >= 0 and _between(where.earlier, low, start, end, high) >= 0:
            weight = 0.65
        if weight:
            reason = f"tells to ignore earlier instructions ({self.language.name})"
            yield Weak(start, max(end, instructions + 1, verb + 1), "injection.override", weight, reason)

    def _revealed(self, where: "_Where", start: int, end: int) -> Iterator[Weak]:
        low, high = where.sentence(start, end)
        question = _QUESTION.match(where.view, low)
        if not question and _between(where.reveal, low, start, end, min(high, end + 40)) >= 0:
            reason = f"asks for the assistant's own instructions ({self.language.name})"
            yield Weak(start, end, "injection.extraction", 0.55, reason)


class _Where:
    """Offsets of a language's words in a view, in order, from a place on."""

    def __init__(self, view: str, grammar: Grammar, first: int) -> None:
        self.view, self._grammar, self._first = view, grammar, first

    @cached_property
    def instructions(self) -> list[int]:
        """Offsets of names of the model's instructions."""
        return _all(self._grammar.instructions, self.view, self._first)

    @cached_property
    def said(self) -> list[int]:
        """Offsets of phrases such as *all that was said above*."""
        return _all(self._grammar.said, self.view, self._first)

    @cached_property
    def earlier(self) -> list[int]:
        """Offsets of words for *earlier* or *all*."""
        return _all(self._grammar.earlier, self.view, self._first)

    @cached_property
    def reveal(self) -> list[int]:
        """Offsets of verbs of revealing."""
        return _all(self._grammar.reveal, self.view, self._first)

    @cached_property
    def stops(self) -> list[int]:
        """Offsets of the ends of sentences."""
        return _all(_SENTENCE, self.view, self._first)

    def sentence(self, start: int, end: int) -> tuple[int, int]:
        """Return the bounds of the sentence around a word."""
        before = bisect_left(self.stops, start)
        after = bisect_left(self.stops, end)
        low = max(0, start - BACK, self.stops[before - 1] + 1 if before else 0)
        high = self.stops[after] if after < len(self.stops) else start + ON
        return low, min(high, start + ON)


def _all(pattern: re.Pattern[str] | Late, view: str, first: int) -> list[int]:
    """Return the offsets of all matches, including those within other matches."""
    starts = []
    match = pattern.search(view, first)
    while match:
        starts.append(match.start())
        match = pattern.search(view, match.start() + 1)
    return starts


def _between(places: list[int], low: int, start: int, end: int, high: int) -> int:
    """Return a place from `end` to `high`, or else from `low` to `start`; -1 if there is none."""
    after = bisect_left(places, end)
    if after < len(places) and places[after] < high:
        return places[after]
    before = bisect_left(places, low)
    return places[before] if before < len(places) and places[before] < start else -1


# Words that English shares with these languages, unless one of their words follows.
_ENGLISH: Final = Late(
    r"(?:ignor|omit|annul)(?:e|ed|es|ing|ance|ant|able|ored|ted|ting|s)?\b(?! (?:las?|los|le|les|toutes?|tous|todas?|"
    r"todos|tutt\w|os|as|o|tus?|sus?|tes|vos|ces|mes|alla|alle|al|suas|seus|estas|estos|lo|il|gli|i|cualquier|"
    r"quaisquer|qualquer|cada|ogni|quello|quanto|qualsiasi|det|den|samtliga|tidigare|tout|votre|consignes)\b)"
)
_QUESTION: Final = Late(
    r"[\s\"'¿]{0,4}(?:wie|was|warum|como|comment|qu'est|pourquoi|que es|por que|come|cos|hoe|wat|vad|hur|hvad|hvordan|"
    r"hva|jak|co |что|как|почему|як|що)(?![^\W_])"
)
_PROMPTS: Final = ("systemprompt", "system-prompt")


GRAMMARS: Final = tuple(Grammar(language) for language in LANGUAGES)


_MODE_STEMS: Final = "modus modo modalità tryb режим モード 모드 模式 وضع מצב मोड মোড โหมด chế_độ kipi"
_STRONG_WORDS: Final = (
    "override オーバーライド 神 god tuhan dios dieu deus gott 上帝 бог 신 ईश्वर भगवान tanrı พระเจ้า chúa diyos ঈশ্বর "
    "系统 系統 システム 시스템 систем sistem النظام نظام सिस्टम সিস্টেম ระบบ hệ_thống ghi_đè überschreib anulación "
    "substituição تجاوز remplacement sovrascrittura переопредел блокиров 覆盖 超控 오버라이드 재정의 geçersiz ओवरराइड "
    "ওভাররাইড แทนที่ penggantian pag-override dewa verifik верифик 验证 검증 検証 wartung maintenance "
    "mantenimiento manutenção 维护 メンテナンス 유지 bảo_trì الصيانة पालन entwickler desarrollador desenvolvedor "
    "développeur 开发 開発 개발 wissens conocimiento connaissance conhecimento conoscenza pengetahuan знани 知识 "
    "知識 지식 kiến_thức المعرفة ज्ञान bilgi ความรู้ জ্ঞান kaalaman 上书き seguridad sicherheit segurança "
    "sicurezza 安全 セキュリティ 보안 güvenlik an_ninh pemaksa law الله แอดมิน"
)
_ENTERS_WORDS: Final = (
    "entrando entro_ entrar estoy betrete wechsle trete вхожу перехожу ввожу захожу 进入 進入 入って 入り 入る 入力 "
    "진입 돌입 들어 giriyor giriş masuk memasuki vào pumapasok papasok เข้าสู่ เข้า प्रवेश दर्ज প্রবেশ أدخل ادخل دخول "
    "ingresando ingreso j'entre passe_en iniciando aktivier 启动 起動 시작 memulai bắt_đầu"
)
_ASKED_FOR: Final = (
    "contraseña mot_de_passe passwort kennwort password senha пароль parola şifre kata_sandi mật_khẩu 密码 "
    "密碼 パスワード 비밀번호 암호 كلمة_المرور كلمة_السر पासवर्ड পাসওয়ার্ড รหัสผ่าน wachtwoord hasło clave secret_key "
    "saldo balance kontostand"
)
# The assistant, named as such in a claim: *as an AI …*. Patterns for a view.
_MACHINES: Final = (
    r"\bia\b|\bki\b|\bki-|(?<![а-я])ии(?![а-я])|人工智能|人工智慧|ai로|aiとして|作为|作為|के रूप|als von|"
    r"en tant qu|in qualita|come ia|sebagai|bilang|olarak|como (?:una?|ia|ai|inteli)|voi tu cach|la mot|la ai|"
    r"ในฐานะ|হিসাবে|হিসেবে|كذكاء|بصفت|באשר|כבינה|yapay|một|인공지능|एआई|এআই|เอไอ|الذكاء|ai の|aiで|ai である"
)


def _any_of(listing: str) -> Late:
    return Late(lambda: "|".join(map(re.escape, sorted({folded(word) for word in split(listing)}))))


_STRONG: Final = _any_of(_STRONG_WORDS)
_ENTERS: Final = _any_of(_ENTERS_WORDS)
_SECRET_ASKED: Final = _any_of(_ASKED_FOR)
_AS_MACHINE: Final = Late(_MACHINES)
_QUOTED_PROCEDURE: Final = Late(r"['\"<][^'\"<>\n]{3,40}['\">]")
_VENDORS: Final = ("openai", "anthropic")
_STEMS: Final = (*split(_MODE_STEMS), *split(MAKERS), *_VENDORS)


class Claims(Stems):
    """Modes, makers and vendors named in languages other than English."""

    name = "claims"

    @property
    def stems(self) -> list[str]:
        """The stems of the first words of a find."""
        return list(_STEMS)

    def weak(self, places: Places) -> Iterator[Weak]:
        """Yield possible claims, with their weights."""
        view = places.view
        spots = chain.from_iterable(((at, stem) for at in places.of(stem)) for stem in _CLAIM_STEMS)
        for at, stem in sorted(spots):
            end = at + len(stem)
            behind, on = view[max(0, at - BACK) : at], view[end : end + ON]
            if stem in _VIEW_MODES:
                weight = self._mode(behind, on)
                reason = "puts the assistant into a mode"
            elif stem in _VENDORS:
                weight = 0.3 if _AS_MACHINE.search(view, max(0, at - 40), end + 40) else 0.0
                reason = "speaks for the assistant's maker"
            else:
                weight = 0.2
                reason = "claims to be the assistant's maker"
            if weight:
                weight += 0.2 * bool(_QUOTED_PROCEDURE.search(on)) if stem not in _VIEW_MODES else 0.0
                weight += 0.2 * bool(_SECRET_ASKED.search(on))
                yield Weak(at, end, "injection.authority", weight, reason)

    @staticmethod
    def _mode(behind: str, on: str) -> float:
        opening = max(behind.rfind(sign) for sign in "<[{【")
        closing = min((at for sign in ">]}】" if 0 <= (at := on.find(sign)) <= 24), default=-1)
        bracketed = opening >= len(behind) - 32 and opening >= 0 and closing >= 0
        near = behind[-24:] + "|" + on[:24]
        strong = bool(_STRONG.search(near))
        if not (strong or bracketed):
            return 0.0
        enters = bool(_ENTERS.search(behind[-40:] + "|" + on[:24]))
        return 0.05 + 0.3 * bracketed + 0.25 * strong + 0.25 * enters if bracketed or enters else 0.15


_VIEW_MODES: Final = frozenset(map(folded, split(_MODE_STEMS)))
_CLAIM_STEMS: Final = tuple(dict.fromkeys(folded(stem) for stem in _STEMS))
