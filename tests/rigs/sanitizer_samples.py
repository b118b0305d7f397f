"""Strategies and made-up secrets. Each secret is put together when it is asked for: none stands in the repository."""

import random
import string

from hypothesis import strategies as st

WORD = string.ascii_letters + string.digits


def body(length: int, letters: str = WORD, seed: int = 7) -> str:
    """Random letters, the same ones each time; at least one digit and one letter where the alphabet has both."""
    chosen = random.Random(seed).choices(letters, k=length - 2)
    return "".join(chosen) + letters[-1] + letters[0]


def join(*parts: str) -> str:
    """Return a secret that does not stand in the repository in one piece."""
    return "".join(parts)


SECRETS = {
    "secret.aws.access_key": join("AK", "IA", body(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
    "secret.github.token": join("gh", "p_", body(36)),
    "secret.github.fine_grained": join("github", "_pat_", body(22), "_", body(59)),
    "secret.gitlab.token": join("gl", "pat-", body(20)),
    "secret.slack.token": join("xo", "xb-", body(12, string.digits), "-", body(24)),
    "secret.stripe.key": join("sk", "_live_", body(24)),
    "secret.openai.key": join("sk", "-proj-", body(48)),
    "secret.anthropic.key": join("sk", "-ant-api03-", body(93)),
    "secret.google.api_key": join("AI", "za", body(35)),
    "secret.npm.token": join("np", "m_", body(36)),
    "secret.sendgrid.key": join("S", "G.", body(22), ".", body(43)),
    "secret.jwt": join("ey", "J", body(20), ".ey", "J", body(40), ".", body(43)),
    "secret.slack.webhook": join("hooks.slack", ".com/services/T", body(8), "/B", body(8), "/", body(24)),
}
PASSWORD = join("hunt", "er2", "!x9Qz")
PRIVATE_KEY = join(
    "-----BEGIN RSA PRIV", "ATE KEY-----\n", body(64), "\n", body(64, seed=8), "\n-----END RSA PRIV", "ATE KEY-----"
)

# Pieces that matter to some rule, whole and cut, so that random texts meet the edges of all of them.
FRAGMENTS = [
    *SECRETS.values(),
    *(secret[: len(secret) // 2] for secret in SECRETS.values()),
    PRIVATE_KEY,
    PRIVATE_KEY[:100],
    "-----BEGIN ",
    "-----END RSA PRIVATE KEY-----",
    "password",
    "PASSWORD = ",
    'api_key: "',
    "the password is ",
    "token",
    "Authorization: Bearer ",
    PASSWORD,
    body(40),
    "=",
    ":",
    " is ",
    "'",
    '"',
    "`",
    "(",
    "://",
    "postgres://user:",
    "@host/db",
    " ",
    "\n",
    "\t",
    "word",
    "中文",
    "\x1b",
    "\x1b[",
    "\x1b[31m",
    "\x1b]0;title",
    "\x07",
    "\x1b\\",
    "\x9b",
    "\x9d",
    "\x00",
    "\x7f",
    "\u200b",
    "\u200c",
    "\u200d",
    "\u200f",
    "\u202e",
    "\u2066",
    "\u2068",
    "\u2069",
    "\ufe0f",
    "\U000e0101",
    "\U000e0067",
    "\U0001f3f4",
    "\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "👩",
    "👩‍💻",
    "❤️",
    "می‌خواهم",
    "مرحبا",
    "क्‍",
    "1",
    "a",
    ".",
    "-",
]

texts = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=4)), max_size=14).map("".join)


@st.composite
def cut_texts(draw: st.DrawFn) -> list[str]:
    """Draw a text, cut into pieces."""
    text = draw(texts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
