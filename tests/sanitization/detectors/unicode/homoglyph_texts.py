"""Words with letters of other scripts, and honest words of several."""
# ruff: noqa: RUF001 - look-alikes are what this file is about

from hypothesis import strategies as st

from sanitization import Action, Category
from sanitization.detectors.unicode.homoglyphs import LOOKS
from sanitization.policy import everywhere

POLICY = everywhere({Category.INVISIBLE: Action.REMOVE})
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
