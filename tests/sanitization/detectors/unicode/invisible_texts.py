"""Texts with characters that nobody sees, and honest texts that need them."""
# ruff: noqa: E501 - a row is a row

from hypothesis import strategies as st

from sanitization import Action, Category
from sanitization.policy import everywhere

POLICY = everywhere({Category.INVISIBLE: Action.REMOVE})
HONEST = [
    "👩‍💻 👨‍👩‍👧‍👦 🏳️‍🌈 ❤️‍🔥 🏴‍☠️ 👩🏽‍🚀 🙂‍↔️",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 2:1",
    "1️⃣ #️⃣ *️⃣ ©️ ™️ ☎︎ ☎️ ✈️",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u062e\u0627\u0646\u0647\u200c\u0627\u06cc",
    "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
    "क्‍ष श्री न्‍ह",
    "ශ්‍රී ලංකා",
    "ಕನ್‌ನಡ",
    "ខ្មែរ​ភាសា",
    "辻\U000e0100さん",
    "ᠪᠢᠴᠢᠭ᠌",
    "User \u2068مريم\u2069 joined",
    "שלום C++\u200f!",
    "\u05d0\u200e\u05d1",
    "naïve Straße Łódź Việt Δx=5µm",
    "中文。日本語、한국어",
    "Silben\xadtrennung non\xa0breaking",
    "(Donau\xaddampf\xadschiff\xadfahrt), \u201eRa\xaddi\xado\xadak\xadti\xadvi\xadt\xe4t\u201c: UR\xadLAUB, d\u2019ac\xadcord.",
    "Saint\xadGermain",
    # Emoji of every make, new ones too.
    "\U0001f44d\U0001f3fd \U0001f1fa\U0001f1f8\U0001f1ef\U0001f1f5 \U0001fae8\U0001fabf\U0001fac8 \u26f9\U0001f3fb\u200d\u2640\ufe0f",
    "\U0001f9d1\u200d\U0001f9d1\u200d\U0001f9d2 \U0001f3f3\ufe0f\u200d\u26a7\ufe0f \U0001f441\ufe0f\u200d\U0001f5e8\ufe0f \u2603\ufe0e \u3297\ufe0f",
    "2\ufe0f\u20e3#\ufe0f\u20e3*\ufe0f\u20e3 \u2764\ufe0e \u2194\ufe0f",
    # Joiners.
    "GPU\u200c\u0647\u0627 \u0627\u06cc\u0646\u200c\u0631\u0627 \u0647\u200d. \u200d\u0647 \u067e\u06cc\u0634\u200c\u200c\u06af\u0632\u06cc\u062f\u0647",
    "\u0930\u094d\u200d\u092f \u0995\u09cd\u200c\u09b7 \u0d28\u0d4d\u200d \u0c15\u0c4d\u0c38\u0c4d\u200d\u200c\u0c2c",
    "\u1780\u17d2\u1781\u200b\u1782 \u1780\u200b\u200b\u1781 \u17ac \u200b\u1794 \u1019\u103c\u200bwidget \u0e01\u200b\u0e02 \u65e5\u672c\u200b\u8a9e",
    "\u1820\u180b\u1821\u180e\u1820",
    "\u05d1\u05b0\u05bc\u05e8\u05b5\u05d0\u05e9\u05b4\u05c1\u0596\u05d9\u05ea \u05d9\u05b0\u05e8\u05d5\u05bc\u05e9\u05c1\u05b8\u05dc\u05b7\u034f\u05b4\u05dd",
    # Order of right-to-left text.
    "\u200f1. \u05e9\u05dc\u05d5\u05dd \u200e(abc)\u200e \u061c\u0661\u0662/\u0663",
    "\u05e7\u05d5\u05d1\u05e5 \u2066report.pdf\u2069 \u202aC++\u202c \u2067\u05d0 \u2066b\u2069\u2069",
    "User \u2068Anna\u2069 joined \u2068general\u2069",
    # Other scripts' own.
    "\u115f\u1161\u11ab \u1102\u1160\u11ab",
    "\u2800\u2800\u28ff\u28ff\u2800\n" + "\u2800" * 60 + "\n\u28ff",
    "\u0600\u0661\u0662 \u0627\u0644\u0639\u0627\u0644\u0645\u064a\u0646 \u06dd\u0661 \u070f\u0712\u0713 \U000110bd\U00011083 \U00013080\U00013430\U00013081",
    "\U0001d15f\U0001d173\U0001d15f\U0001d174 \U0001bc02\U0001bca0\U0001bc03",
    "\u2229\ufe00 \u2268\ufe00 0\ufe00 \u3001\ufe00 \U00013091\ufe00 \uff0c\ufe01",
    # Marks as they are written: Vietnamese, polytonic Greek, phonetic script, Thai, Arabic, Hindi.
    "vie\u0302\u0323t \u03b1\u0304\u0313\u0301\u0345 \u0254\u0303\u0301 n\u032a\u030a \u0e01\u0e37\u0e48\u0e19 \u0627\u0644\u0644\u0651\u064e\u0670\u0647\u064f",
    "s\u0336t\u0336r\u0336u\u0336c\u0336k\u0336 a\u20dd \u0915\u093c\u094d\u0937\u093f\u0902",
    "\u1cd0\u0897\u20c1\ua7cb\U0001e6c0\U000323b0 \ufdfd \ufffd \ufffc",
]
PIECES = [
    *"ab \n1\u05d0\u0645\u1780\u65e5\U0001f469\u2764\U0001f3f4\u200b\u200c\u200d\u200e\u200f\ufe0f\ufe00\U000e0101\U000e0041",
    *"\u2066\u2067\u2068\u2069\u202a\u202c\u202e\xad\u2800\u28ff\u0301\u2028\ue000\ufffe\u0378\ud83d\ude00",
    *"\u115f\u1161\u180b\u1820\u034f\u05b0:=(-",
    *("\u0915\u094d", "syl\xadla", "\u0334\u0308\u0321", "\udb40\udc41", " " * 31, "x" * 62, "x" * 127),
    "\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
]
pieces = st.lists(st.sampled_from(PIECES), max_size=14)
CUTS: list[list[str]] = []
UNITS = [
    *("\u200b", "a\u200b", "\u2068a", "\u2069a", "\u200fa", "\U0001f469\u200d", "\U0001f3f4\U000e0067", "\u2066", "\u2069"),
    *("a\xad", "\xad", "\u0301", "a\u0301\u0301\u0301", "\u2800", "\ue000a", "\u2028a", "\u2066\u05d0\u2069", "\u05d0\u200f"),
]  # fmt: skip
