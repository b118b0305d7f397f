"""Claims to be in charge, in languages other than English: modes, makers and vendors, and their requests."""

# ruff: noqa: RUF001 - letters of other scripts are what this file is about

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from typing import Final

from attrs import evolve, frozen

from sanitization.normalization import folded
from sanitization.prefilter import Prefilter

from .foreign import BACK, ON, Places, Weak, raw_pattern, split, variants
from .languages import MAKERS
from .rules import Late

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
    r"\bia\b",
    r"\bki\b",
    r"\bki-",
    r"(?<![а-я])ии(?![а-я])",
    r"人工智能",
    r"人工智慧",
    r"ai로",
    r"aiとして",
    r"作为",
    r"作為",
    r"के रूप",
    r"als von",
    r"en tant qu",
    r"in qualita",
    r"come ia",
    r"sebagai",
    r"bilang",
    r"olarak",
    r"como (?:una?|ia|ai|inteli)",
    r"voi tu cach",
    r"la mot",
    r"la ai",
    r"ในฐานะ",
    r"হিসাবে",
    r"হিসেবে",
    r"كذكاء",
    r"بصفت",
    r"באשר",
    r"כבינה",
    r"yapay",
    r"một",
    r"인공지능",
    r"एआई",
    r"এআই",
    r"เอไอ",
    r"الذكاء",
    r"ai の",
    r"aiで",
    r"ai である",
)


def _any_of(listing: str) -> Late:
    return Late(lambda: "|".join(map(re.escape, sorted({folded(word) for word in split(listing)}))))


_STRONG: Final = _any_of(_STRONG_WORDS)
_ENTERS: Final = _any_of(_ENTERS_WORDS)
_SECRET_ASKED: Final = _any_of(_ASKED_FOR)
_AS_MACHINE: Final = Late("|".join(_MACHINES))
_QUOTED_PROCEDURE: Final = Late(r"['\"<][^'\"<>\n]{3,40}['\">]")
_VENDORS: Final = ("openai", "anthropic")
_STEMS: Final = (*split(_MODE_STEMS), *split(MAKERS), *_VENDORS)


@frozen
class Claims:
    """Modes, makers and vendors named in languages other than English."""

    name: str = "claims"

    @property
    def prefilter(self) -> Prefilter:
        """Prefilter of the stems, in a raw text."""
        first = {form for stem in _STEMS for form in variants(stem.split()[0])}
        return Prefilter(tuple(sorted(first)), raw_pattern(_STEMS, open_end=False), ignore_case=True)

    @property
    def ends(self) -> Prefilter:
        """The prefilter, also matching an incomplete stem at the end of a text."""
        return evolve(self.prefilter, pattern=raw_pattern(_STEMS, open_end=True))

    @cached_property
    def full(self) -> re.Pattern[str]:
        """The first words of a find, in a raw text."""
        return re.compile(raw_pattern(_STEMS, open_end=False), re.IGNORECASE | re.ASCII)

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
