"""The words by which the classifier reads: telling words, and corrections of typing errors.

Nearly every order to a model contains a telling word, and only sentences near one are classified. They are listed as
stems; a word that begins with one is telling. Words that are common in all texts are left out, as classifying costs
time. A stem with `|` at its end is a whole word.

A word with one letter left out, doubled, changed or swapped is corrected to one of `KNOWN`. Short words have too many
neighbours that are words, so in those only swapped letters are corrected.
"""

import re
from functools import cache, lru_cache
from typing import Final

from sanitization.late import Late
from sanitization.prefilter import Prefilter

from .foreign import variants
from .rules import trie

_ENGLISH: Final = (
    "ignor ignr ingor disreg dissreg forget foget frget forgot overlook overrid overrul discard bypass neglect suspend "
    "instr intruc isntr directive guideline promp prmpt pormpt restrict unrestrict uncensor unfilter jailbr filters| "
    "rules| programming constraint secret sercet scret passw passphrase pasword credential balances| confidential "
    "private developer creator administrator admin| supervisor mode| system| assis asist chatbot llm llms| ai| ais| "
    "gpt chatgpt openai anthropic claude gemini copilot dan| persona| pretend roleplay role| character exfiltrat "
    "webhook verbatim reveal obey comply refus without| silent secretly hidden user| users| reader task| agents| bots| "
    "confirmation approv authoris authoriz verified permission granted evil attacker candidate above| previous prior "
    "earlier limits| morals| delete forward transfer summar url| id_rsa immediately henceforth god| root| override "
    "unlock activated enabled access| tool| tools| send| recommend api_key apikey token| conversation"
)
_OTHERS: Final = (
    # German to Finnish
    "anweisung instruktion vorgabe systemprompt passwort kennwort kontost vergiss missacht wartungsmodus ki| ki- "
    "entwickler regeln| modus| schlüssel zugangsdaten systemprüfung consigne directive règles oublie ignore mot| mode| "
    "développeur ia| clé| secrète solde| créateur instruccion contraseña olvid directric reglas clave| saldo modo| "
    "desarrollador creador ignor instruç esqueç desconsider diretriz regras| senha chave| desenvolvedor istruzion "
    "dimentic trascur regole| chiave modalità sviluppatore saldo| direttiv instructie negeer vergeet wachtwoord regels|"
    " sleutel ontwikkelaar instruktion ignorera glöm anvisning regler lösenord nyckel utvecklare läge| glem| anvisning "
    "adgangskode nøgle udvikler tilstand instrukcj zignoruj zapomnij polece zasad| hasło klucz tryb programist pokyn| "
    "pokyny| ignoruj zapomeň heslo klíč režim vývojář instrukce инструкц игнор забуд указани правил пароль ключ режим "
    "разработчик промпт ии| ассистент баланс команд приказ інструкц ігнор вказівк парол розробник шi| ші| instrucțiun "
    "ignoră parola regulile cheia modul| dezvoltator talimat yönerge istem| şifre parola anahtar mod| modu| "
    "geliştirici yapay görevin kuralla komutla οδηγίες οδηγι αγνόησε ξέχνα κωδικό κλειδί κανόνες λειτουργία "
    "προγραμματιστής τν| تعليمات التعليمات تجاهل الأوامر القواعد مفتاح كلمة وضع مطور المطور موجه الذكاء ذكاء مهمتك "
    "التوجيهات رصيد הוראות ההוראות התעלם סיסמה הסיסמה מפתח המפתח הנחיות הנחיית כללים מצב בינה שכח دستور نادیده رمز "
    "کلید حالت قوانین هوش توسعه پیام निर्देश अनदेखा पासवर्ड कुंजी मोड नियम डेवलपर एआई आदेश सिस्टम बैलेंस भूल নির্দেশ "
    "উপেক্ষা পাসওয়ার্ড চাবি মোড নিয়ম ডেভেলপার এআই আদেশ সিস্টেম 指令 指示 说明 說明 忽略 忘记 忘記 无视 密码 密碼 "
    "密钥 规则 規則 模式 开发者 人工智能 提示词 系统 系統 助手 任务 余额 指示 命令 無視 忘れ パスワード 秘密 ルール "
    "モード 開発者 プロンプト システム アシスタント 残高 タスク 지시 명령 무시 비밀 규칙 모드 개발자 프롬프트 시스템 "
    "어시스턴트 잔액 인공지능 hướng chỉ quên mật khóa chế quy nhắc คำสั่ง คําสั่ง คำแนะนำ คําแนะนํา รหัสผ่าน คีย์ โหมด "
    "กฎ นักพัฒนา ผู้ช่วย instruksi perintah abaikan lupakan sandi kunci pengembang aturan petunjuk arahan tagubilin "
    "kalimutan pansinin utos patakaran lihim ohje ohita unohda salasana avain kehittäjä tekoäly säännö utasítás "
    "felejtsd jelszó kulcs fejleszt szabály mi- "
)


def _listed() -> tuple[list[str], list[str], list[str]]:
    """Return stems that begin with an ASCII letter, whole words that do, and stems that do not."""
    stems, whole = set[str](), set[str]()
    for word in (*_ENGLISH.split(), *_OTHERS.split()):
        (whole if word.endswith("|") else stems).update(variants(word.rstrip("|")))
    latin = sorted(stem for stem in stems if stem[0].isascii())
    others = sorted(stem for stem in stems | whole if not stem[0].isascii())
    return latin, sorted(word for word in whole - stems if word[0].isascii()), others


def _any_of(listed: list[str]) -> str:
    return trie(listed, open_end=False, spell=re.escape)


@cache
def prefilter() -> Prefilter:
    """Return the prefilter of the telling words."""
    latin, whole, others = _listed()
    pattern = f"(?:^|[^A-Za-z])(?:{_any_of(latin)}|(?:{_any_of(whole)})(?:[^A-Za-z]|$))|{_any_of(others)}"
    return Prefilter(pattern=pattern, ignore_case=True)


class _Words:
    """Recognises telling words: ASCII words by their beginning, others by an expression."""

    def __init__(self) -> None:
        latin, whole, others = _listed()
        self._begins = tuple(word for word in latin if word.isascii())
        self._whole = frozenset(word for word in whole if word.isascii())
        mixed = [word for word in (*latin, *whole) if not word.isascii()]
        self.others = re.compile(f"(?<![A-Za-z])(?:{_any_of(mixed)})|{_any_of(others)}", re.IGNORECASE | re.ASCII)
        self.tells = lru_cache(maxsize=KNOWN_MAX)(self._tells)

    def _tells(self, word: str) -> bool:
        return word in self._whole or word.startswith(self._begins)


_words: Final = cache(_Words)


def telling(text: str, start: int) -> list[int]:
    """Return the offsets of the telling words that begin at `start` or later, in order."""
    words = _words()
    lowered = text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    places = set[int]()
    # Each distinct word of a text is looked up once.
    for word in filter(words.tells, set(_LATIN.findall(lowered, start))):
        at = lowered.find(word, start)
        while at >= 0:
            end = at + len(word)
            if not (_is_latin(lowered, at - 1) or _is_latin(lowered, end)):
                places.add(at)
            at = lowered.find(word, end)
    if not text.isascii():
        for run in _FOREIGN.finditer(text, start):
            places.update(match.start() for match in words.others.finditer(text, run.start(), run.end()))
    return sorted(places)


def _is_latin(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at].isascii() and text[at].isalpha()


KNOWN_MAX: Final = 20_000
"""Words whose result is cached; beyond, the least recently used are dropped."""
_LATIN: Final = Late("[a-z]{2,}")
_FOREIGN: Final = Late(r"(?<![A-Za-z])[A-Za-z]*[^\x00-\x7f]\S*")  # one search for each run of letters


_KNOWN: Final = (
    "ignore ignoring disregard forget override bypass discard previous earlier preceding original initial existing "
    "instruction instructions directive directives guidelines guideline commands command restriction restrictions "
    "prompt prompts system assistant password passwords credentials secret secrets reveal repeat display everything "
    "developer administrator creator operator unrestricted uncensored pretend character conversation message messages "
    "immediately without confirm confirmation authorized permission security safety filters execute forward transfer "
    "delete recommend summary verbatim hidden silently secretly programming constraints policies customer database "
    "your above prior rules told show tell print send mail table user users mode task leak"
)
KNOWN: Final = frozenset(_KNOWN.split())
SURE: Final = 6
"""Least length of a word in which any error is corrected."""
SHORTEST: Final = 4
CACHED: Final = 20_000


@cache
def _by_deletion() -> dict[str, list[str]]:
    """Map each of the longer words with one letter left out to the words."""
    by_rest: dict[str, list[str]] = {}
    for word in sorted(KNOWN):
        if len(word) >= SURE:
            for at in range(len(word)):
                by_rest.setdefault(word[:at] + word[at + 1 :], []).append(word)
    return by_rest


@lru_cache(maxsize=CACHED)
def spelt(word: str) -> str:
    """Return the known word that a word in lower case was meant to be, or the word itself."""
    if word in KNOWN or len(word) < SHORTEST or not (word.isascii() and word.isalpha()):
        return word
    for at in range(len(word) - 1):
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if swapped in KNOWN:
            return swapped
    if len(word) < SURE - 1:
        return word
    by_deletion = _by_deletion()
    if word in by_deletion:
        return by_deletion[word][0]
    for at in range(len(word)):
        rest = word[:at] + word[at + 1 :]
        if rest in KNOWN and len(rest) >= SURE:
            return rest
        for other in by_deletion.get(rest, ()):
            if len(other) == len(word) and sum(map(str.__ne__, other, word)) == 1:
                return other
    return word


_WORD: Final = Late(f"(?<![^\\W_])[A-Za-z]{{{SHORTEST},24}}(?![^\\W_])")


def respelt(text: str) -> str | None:
    """Return a text with its errors corrected; None if there are none."""
    again = _WORD.sub(lambda found: found[0] if (right := spelt(found[0].lower())) == found[0].lower() else right, text)
    return None if again == text else again
