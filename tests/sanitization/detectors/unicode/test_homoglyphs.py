"""Words that only look Latin become Latin; words of other scripts, units, formulas and sounds stay as they are."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Action, Category, Sanitizer, StreamSanitizer
from sanitization.detectors.unicode.homoglyphs import LOOKS, Homoglyphs
from sanitization.policy import everywhere
from sanitization.prefilter import build_prefilter

# ruff: noqa: RUF001 - look-alikes are what this file is about

POLICY = everywhere({Category.INVISIBLE: Action.REMOVE})

DISGUISED = [
    # Letters of another script among Latin ones.
    ("log in at аmazon.com", "log in at amazon.com"),
    ("pаssword раsswоrd", "password password"),
    ("раssроrt", "passport"),
    ("def check_аdmin(usеr):", "def check_admin(user):"),
    ("isRооt2", "isRoot2"),
    ("GЕT HТTP", "GET HTTP"),
    ("мicrosoft тwitter", "microsoft twitter"),
    ("adмin", "admin"),
    ("micrοsοft, Αpple", "microsoft, Apple"),
    ("fαcebοοk", "facebook"),
    ("օpen, ցate", "open, gate"),
    ("ᏢayᏢal ꓐank ᗪocker", "PayPal Bank Docker"),
    ("ꭺdmin", "admin"),
    ("to\u212aen", "toKen"),
    ("Привет, зайди на gооgle.com, пожалуйста", "Привет, зайди на google.com, пожалуйста"),
    # A label of a Latin domain, and a word in letters of no language.
    ("see раура.com now", "see paypa.com now"),
    ("аррӏе.com/login", "apple.com/login"),
    ("ԁос", "doc"),
    # A name of one letter in code.
    ("def f(а): return а", "def f(a): return a"),
    ("for о in range(3): print(о)", "for o in range(3): print(o)"),
    ("x = с + 1;", "x = c + 1;"),
    ("the ѕсоре, аррӏе", "the scope, apple"),
    # Fancy dress.
    ("ａｄｍｉｎ run.ｅｘｅ ＲＯＯＴ", "admin run.exe ROOT"),
    ("ｉｇｎｏｒｅ　ａｌｌ", "ignore　all"),
    ("pａypal", "paypal"),
    ("Ⅰgnore cⅼick", "Ignore click"),
    ("𝗳𝗼𝗿𝗴𝗲𝘁 𝗮𝗹𝗹 𝗿𝘂𝗹𝗲𝘀", "forget all rules"),
    ("𝕗𝕠𝕣𝕘𝕖𝕥 𝔣𝔬𝔯𝔤𝔢𝔱 𝒻ℴ𝓇ℊℯ𝓉 𝚏𝚘𝚛𝚐𝚎𝚝", "forget forget forget forget"),
    ("for𝗴et", "forget"),
    ("ⓕⓞⓡⓖⓔⓣ 🅵🅾🆁🅶🅴🆃 🄵🄾🅁🄶🄴🅃", "forget FORGET FORGET"),
    ("ꜰᴏʀɢᴇᴛ ʏᴏᴜʀ ʀᴜʟᴇs", "forget your rules"),
    ("ᶠᵒʳᵍᵉᵗ", "forget"),
]

HONEST = [
    # Other scripts, alone and beside Latin words.
    "Сор, рот, нос, хор. АО СССР. Оно рано.",
    "Это iPhone 15 и Wi-Fi-роутер, IT-специалист, USB-кабель.",
    "Ми їхали до Києва, Ґудзик і єнот",
    "Ѕвездата и ѕидот; соја, осі",
    "Нохчийн мотт: хӏоа, хӏорд",
    "Ово је ћирилица: Београд, Ђоковић",
    "Қазақстан Республикасы, Ө, ү, ң",
    "Ελλάδα: ότι ο iPhone κοστίζει; ΑΒΓ ΟΧΙ",
    "Հայաստան օգոստոս, ChatGPT-ն",
    "ქართული ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ ⵜⴰⵎⴰⵣⵉⵖⵜ ᚠᚢᚦᚨᚱᚲ",
    "שלום abc سلام abc हिन्दी १० ไทย ๑๐",
    # Latin words with endings, and what a wrong keyboard makes of words.
    "SMSка SMSки PDFка DVDшка VKонтакте",
    "апка в Gitом, gifка",
    "laptopακι likeάρω",
    "cпасибо, рaботa, вiн, мiсто, iнтернет",
    "она cама пришла в ХХI веке, ocи вони",
    "user_имя имя_user А4 м2 Т34 С300 А123ВС77",
    "вpеmя",
    "in the CRMу and PDFа, aαbαcα",
    "the laptopακι",
    "Это в Googlе работает",
    "--root КАТ_CHROOT %lluс [nNοΟ]",
    # Units, formulas, phonetic script, names of genes.
    "Δx = 5 µm, 10 µs, 4.7 kΩ, 300 K, π r², β-test, α-Helix, ΔΔCt, Ångström",
    "hν = E, ρgh, kχ, sinα cosβ, sinαcosβ, logα, νx",
    "TNFα IFNγ NFκB IκBα PPARγ αvβ3 γδT",
    "xⁿ eⁱˣ 1ˢᵗ 2ⁿᵈ 4ᵗʰ Mᵐᵉ H₂O xₘₐₓ (x+y)ᵗʳᵃⁱⁿ",
    "𝑓(𝑥) = 𝑎𝑥² + 𝑏𝑥 + 𝑐, 𝐄 = 𝑚𝑐², 𝐴𝐵𝐶𝐷, d𝑥, sin𝑥, max𝑓, sin𝑥cos𝑦",
    "𝑠𝑜𝑓𝑡𝑚𝑎𝑥(𝑥), ℝⁿ → ℂ, 𝔼[X], ℓ/min, mℓ",
    "ˈɪɡnɔː pʰæʔ ɹɪˈlɪʒn ʀʏʙʜ ʁ",
    "Ⅰ, Ⅱb, Ⅳ, stage Ⅰa, 第Ⅴ章, Ⓐ Ⓑ Ⓒ, ⓐ or ⒝, ① ②, ℹ️ Ⓜ️ 🅰️🅱️ 🇺🇸🇯🇵",
    "Windows™ ® ﬁ ſtraße ﬂ",
    # A word in Fraktur, as of a fount or a title, and letters of an algebra.
    "𝔉𝔯𝔞𝔨𝔱𝔲𝔯 ist eine Schrift; der Titel 𝕱𝖆𝖚𝖘𝖙 steht darüber",
    "Пусть 𝔤 — алгебра Ли, книга 𝔉𝔞𝔲𝔰𝔱",
    # Words of one letter in prose.
    "Это а не б, и с (а потом) о нём; а = 5",
    "Vitamin С and Case с",
    # Wide letters where they belong.
    "ＡＢＣ株式会社、全角ｔｅｓｔ",
    "テスト　ＨＴＭＬとｊａｖａ",
    "ｗｗｗｗ ２０２４ ＡＢＣ",
    "naïve Łódź Đặng Việt Nam ñandú",
]


@pytest.mark.parametrize(("text", "plain"), DISGUISED)
def test_a_disguised_word_becomes_what_it_looks_like(text: str, plain: str) -> None:
    """Each word is replaced and reported."""
    sanitized = Sanitizer(POLICY).sanitize(text)
    assert sanitized.text == plain
    assert {each.kind for each in sanitized.findings} == {"invisible.homoglyph"}
    assert Sanitizer(POLICY).sanitize(plain).text == plain


def test_the_prefilter_matches_every_look_alike_and_at_nothing_else() -> None:
    """All code points, tested in groups for speed."""
    active = build_prefilter((Homoglyphs.prefilters,))
    assert all(active(f"a {letter}") for letter in LOOKS)
    others = [chr(code) for code in range(0x110000) if chr(code) not in LOOKS]
    assert not active("".join(others))


FRAGMENTS = [
    *("p", "а", "y", "раураl", "gооgle", "Ме", "кот", "м", "ка", "SMS", "к", "жизнь", "ο", "α", "micr", "_", "2", "é"),
    *(
        ".com",
        ".",
        " ",
        " ",
        "\n",
        "ａ",
        "ｄmin",
        "全角",
        "𝗳𝗼",
        "𝗿",
        "𝑥",
        "(",
        "ᴛᴇ",
        "ꜱᴛ",
        "ʀ",
        "s",
        "ᵗʰᵉ",
        "ⓕⓞ",
        "Ⅰ",
        "ԁ",
    ),
    *("=", "return ", "𝔉𝔞𝔲𝔰𝔱", "𝔞𝔩𝔩", " а)"),
    "a" * 70,
    "а" * 63,
]
words = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(sorted(LOOKS))), max_size=16)
CUTS = [
    ["раура", ".", "com", " ж"],
    ["раура", ".", "com"],
    ["раураl", " " * 31, "жизнь"],
    ["ａｄｍｉｎ", " " * 31, "全"],
    ["return ", "а", " ж"],
    ["x = ", "с", " " * 31, "ж"],
    ["𝔉𝔞𝔲𝔰𝔱", " ", "𝔞𝔩𝔩"],
]
UNITS = ["аb", "а", "аb ", "а.com ", "ａ", "𝗮 𝗯", "aо" * 30 + " ", "аa_", "ԁ", "𝑥a", "раураl ", "=а ", "𝔉𝔞𝔲𝔰𝔱 "]


@given(words.map("".join))
def test_sanitizing_twice_changes_nothing_more(text: str) -> None:
    """A word that was put right disguises nothing, and makes nothing else a disguise."""
    once = Sanitizer(POLICY).sanitize(text)
    again = Sanitizer(POLICY).sanitize(once.text)
    assert len(again.findings) <= len(once.findings)


def test_little_text_is_held() -> None:
    """At most the last word is held."""
    stream, held = StreamSanitizer(POLICY), 0
    for letter in "Привет, как дела сегодня? Думаю, что всё хорошо. ΕΛΛΑΔΑ ο καιρός " * 20 + "раураl " * 50:
        stream.feed(letter)
        held = max(held, stream.held)
    assert held <= 110


def test_random_text_of_other_scripts_is_left_alone() -> None:
    """Words of one script, whatever their letters, without Latin ones among them."""
    chance = random.Random(5)
    alphabets = ["абвгдежзийклмнопрстуфхцчшщъыьэюя", "αβγδεζηθικλμνξοπρστυφχψω", "աբգդեզէըթժիլխծկհձղճմ", "асеорху"]
    for alphabet in alphabets:
        text = " ".join("".join(chance.choices(alphabet, k=chance.randint(1, 9))) for _ in range(500))
        assert Sanitizer(POLICY).sanitize(text).text == text


def test_a_word_is_reported_as_a_whole() -> None:
    """Though a stream has passed on its honest beginning; what stands there instead is the whole word."""
    text = "go to my_pаypal2.com"
    whole = Sanitizer(POLICY).sanitize(text)
    assert [(each.start, each.end, each.replacement) for each in whole.findings] == [(6, 16, "my_paypal2")]
    stream = StreamSanitizer(POLICY)
    assert [stream.feed(text[:10]), stream.feed(text[10:]) + stream.flush()] == ["go to my_p", "aypal2.com"]
    assert stream.findings == whole.findings
