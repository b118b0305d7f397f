"""The rules of `secrets`, as data. Forms are the issuers' own, from their public documentation.

A token rule has the literals it begins with and the characters that follow. `random` asks for a mixed body where
the literal alone says little. Rules in a row stand in order of preference.
"""

import re
from collections.abc import Iterable
from typing import Final

from attrs import frozen

PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))


@frozen
class TokenRule:
    """A token that is known by how it begins."""

    kind: str
    anchors: tuple[str, ...]
    pattern: re.Pattern[str]
    score: float = 1.0
    random: bool = False


def _rule(kind: str, anchors: str, body: str, *, score: float = 1.0, random: bool = False) -> TokenRule:
    """A token does not begin inside a word, nor within what its own body could be part of."""
    names = tuple(anchors.split())
    starts = "|".join(map(re.escape, names))
    return TokenRule(kind, names, re.compile(f"(?<![A-Za-z0-9_-])(?:{starts}){body}", re.ASCII), score, random)


_WORD: Final = "[A-Za-z0-9]"
_URL: Final = "[A-Za-z0-9_-]"

TOKENS: Final[tuple[TokenRule, ...]] = (
    _rule("aws.access_key", "AKIA ASIA ABIA ACCA", f"[A-Z2-7]{{16}}(?!{_WORD})"),
    _rule("aws.bedrock_key", "ABSK", "[A-Za-z0-9+/]{100,300}={0,2}"),
    _rule("github.token", "ghp_ gho_ ghu_ ghs_ ghr_", f"{_WORD}{{36,255}}"),
    _rule("github.fine_grained", "github_pat_", r"\w{60,255}"),
    _rule(
        "gitlab.token",
        "glpat- gloas- gldt- glrt- glptt- glft- glimt- glagent- glsoat- glcbt- glffct-",
        f"{_URL}{{20,300}}",
    ),
    _rule("gitlab.runner", "GR1348941", f"{_URL}{{20,50}}"),
    _rule(
        "slack.token", "xoxb- xoxp- xoxa- xoxo- xoxr- xoxs- xoxe- xoxe. xapp-", r"[A-Za-z0-9.-]{10,300}", random=True
    ),
    _rule("stripe.key", "sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_ whsec_", f"{_WORD}{{10,200}}"),
    _rule("anthropic.key", "sk-ant-", f"{_URL}{{24,200}}", random=True),
    _rule("openai.key", "sk-", f"{_URL}{{20,200}}", random=True),
    _rule("google.api_key", "AIza", f"{_URL}{{35}}"),
    _rule("google.oauth", "ya29. GOCSPX-", f"{_URL}{{20,500}}"),
    _rule("jwt", "eyJ", rf"{_URL}{{8,1000}}\.eyJ{_URL}{{8,4000}}(?:\.{_URL}{{0,1500}})?"),
    _rule("npm.token", "npm_", f"{_WORD}{{36,64}}"),
    _rule("pypi.token", "pypi-", f"{_URL}{{50,500}}"),
    _rule("huggingface.token", "hf_ api_org_", f"{_WORD}{{30,64}}"),
    _rule("sendgrid.key", "SG.", rf"{_URL}{{16,64}}\.{_URL}{{16,64}}"),
    _rule("shopify.token", "shpat_ shpss_ shpca_ shppa_", "[A-Fa-f0-9]{32}"),
    _rule("digitalocean.token", "dop_v1_ doo_v1_ dor_v1_", "[a-f0-9]{64}"),
    _rule("grafana.token", "glsa_ glc_", r"[A-Za-z0-9+/_=]{32,400}"),
    _rule("databricks.token", "dapi", "[a-f0-9]{32}(?:-[0-9])?"),
    _rule("hashicorp.vault", "hvs. hvb.", f"{_URL}{{24,300}}"),
    _rule("postman.key", "PMAK-", "[a-fA-F0-9-]{50,64}"),
    _rule("square.token", "sq0atp- sq0csp- EAAA", f"{_URL}{{22,70}}", random=True),
    _rule("twilio.key", "SK AC", f"[a-f0-9]{{32}}(?!{_WORD})"),
    _rule("linear.key", "lin_api_", f"{_WORD}{{32,64}}"),
    _rule("notion.token", "ntn_ secret_", f"{_WORD}{{40,50}}"),
    _rule("doppler.token", "dp.pt. dp.st.", f"{_WORD}{{40,50}}"),
    _rule("planetscale.token", "pscale_tkn_ pscale_pw_ pscale_oauth_", r"[\w.-]{32,64}"),
    _rule("sentry.token", "sntrys_ sntryu_", "[A-Za-z0-9+/=_]{40,400}"),
    _rule("newrelic.key", "NRAK-", "[A-Za-z0-9]{27}"),
    _rule("perplexity.key", "pplx-", f"{_WORD}{{40,64}}"),
    _rule("rubygems.key", "rubygems_", "[a-f0-9]{48}"),
    _rule("flyio.token", "fo1_ fm2_", r"[\w+/=-]{40,500}"),
    _rule("onepassword.token", "ops_eyJ", "[A-Za-z0-9+/]{200,1000}={0,3}"),
    _rule("age.key", "AGE-SECRET-KEY-1", "[A-Z0-9]{58}"),
    _rule("slack.webhook", "hooks.slack.com/", r"(?:services|workflows|triggers)/[A-Za-z0-9+/]{30,100}"),
    _rule("discord.webhook", "discord.com/api/webhooks/", rf"[0-9]{{17,20}}/{_URL}{{40,100}}"),
)


def _either(words: Iterable[str]) -> str:
    return "|".join(words)


_PASSWORD_WORDS: Final = ("password", "passwd", "passphrase", "passcode", "pwd")
_SECRET_WORDS: Final = (
    "(?:api|access|account|secret|private|signing|encryption)[-_. ]?key",
    "client[-_. ]?secret",
    "credential",
    "authorization",
    "bearer",
    "secret",
    "token",
)
WORDS: Final = f"(?ai:{_either(_PASSWORD_WORDS + _SECRET_WORDS)})"
PASSWORD_WORD: Final = re.compile(_either(_PASSWORD_WORDS), re.IGNORECASE | re.ASCII)

VALUE_MAX: Final = 256
_KEY: Final = rf"(?P<word>{WORDS})[A-Za-z0-9_.-]{{0,32}}[\"'`\]*]{{0,3}}"
_BARE: Final = r"[^\s\"'`,;<>(){}\[\]]"
_LENGTH: Final = f"{{6,{VALUE_MAX}}}"
ASSIGNMENT: Final = re.compile(
    rf"""{_KEY} [\x20\t]{{0,4}} (?P<sign> =>|:=|={{1,2}}|: | (?<=\s),?(?ai:is)(?=\s) ) [\x20\t]{{0,4}}
    (?: (?ai:bearer|basic|token) \x20 )?
    (?: "(?P<double>[^"\n]{_LENGTH})" | '(?P<single>[^'\n]{_LENGTH})' | `(?P<tick>[^`\n]{_LENGTH})`
      | ["'`]? (?P<bare>{_BARE}{_LENGTH}) )""",
    re.VERBOSE,
)
# Every beginning of an assignment that may still become one, and some that may not: holding back is harmless.
_SO_FAR: Final = f"{{0,{VALUE_MAX}}}"
PENDING_WORD: Final = re.compile(
    rf"""{_KEY} [\x20\t]{{0,4}} [=:>,isIS]{{0,3}} [\x20\t]{{0,4}} (?: (?ai:bearer|basic|token) \x20? )?
    (?: "[^"\n]{_SO_FAR}"? | '[^'\n]{_SO_FAR}'? | `[^`\n]{_SO_FAR}`? | {_BARE}{_SO_FAR} )? \Z""",
    re.VERBOSE,
)
WORD_REACH: Final = VALUE_MAX + 128

ADDRESS: Final = re.compile(
    r"://[A-Za-z0-9._~%+$-]{0,64}:(?P<value>[A-Za-z0-9._~!$&*+,;=%^#?|()-]{3,128})@[A-Za-z0-9\[]"
)

BLOCK_MAX: Final = 8_000
BLOCK_LEAST: Final = 40  # base64 of half a line: less is talk about keys
BLOCK_HEAD: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
BLOCK_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
BLOCK_LINES: Final = re.compile(r"(?:(?:\s|\\[nr]){1,8}[A-Za-z0-9+/=]{20,1024}(?![^\s\\]))*", re.ASCII)
PENDING_BLOCK: Final = re.compile(
    r"""-----BEGIN\ [A-Z0-9\ ]{0,60}
    (?: -{1,4} | (?<=KEY|OCK)-----(?:(?!-----END\ )[\s\S])*(?:-----END\ [A-Z0-9\ ]{0,60}-{0,4})? )? \Z""",
    re.VERBOSE,
)
