"""Keys and tokens of known form are found exactly, private keys whole, and every kind by its example."""
# ruff: noqa: RUF001 - signs as people write them

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanitization import Action, Category, Sanitizer, StreamSanitizer
from sanitization.detectors import Secrets
from sanitization.detectors.secrets.rules import CONTEXT, REACH, example, shape
from sanitization.detectors.secrets.tokens import GROUPS
from sanitization.detectors.secrets.values import bits, is_name, is_random, is_stand_in, is_strong
from sanitization.policy import everywhere
from sanitization.prefilter import build_prefilter
from tests.rigs.cpu import cpu_seconds
from tests.rigs.sanitizer_samples import PRIVATE_KEY, SECRETS, body, join

POLICY = everywhere({Category.SECRET: Action.REMOVE})
DETECTOR = Secrets()
KINDS = {kind.name: kind for kind in DETECTOR.kinds}
TOKENS = {
    kind.name: kind.example
    for group in GROUPS
    for kind in group.kinds
    if " " not in kind.example and kind.name != "secret.private_key.encoded"
}
FRAMES = [
    "{}",
    "use {} now",
    "My key is {} and it stopped working.",
    '{{"value": "{}"}}',
    '{{"token": "{}", "retries": 3}}',
    'env:\n  SECRET: "{}"\n',
    'client = Client("{}")',
    "export API_KEY={}",
    "({})",
    "x={}\n",
    "中文{}中文",
    "`{}`",
    "<{}>",
    "?q={}&a=1",
    'escaped: "\\n{}\\n"',
    "https://example.org/?x%3D{}",
]
# Where a slash or backslash more would be part of a token that has such.
UNSLASHED = ("x={}\n", "?q={}&a=1", "https://example.org/?x%3D{}", 'escaped: "\\n{}\\n"')


def sanitized(text: str) -> str:
    return Sanitizer(POLICY).sanitize(text).text


def found(text: str) -> list[tuple[str, str]]:
    return [(hit.kind, text[hit.start : hit.end]) for hit in DETECTOR.find(text)]


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_is_found_exactly(kind: str) -> None:
    """Whatever stands around it, the token and nothing else is replaced; its name is that of its issuer."""
    for frame in FRAMES:
        if frame in UNSLASHED and (set("/\\") & set(TOKENS[kind]) or kind == "secret.azure.apim_key"):
            continue
        text = frame.format(TOKENS[kind])
        assert found(text) == [(kind, TOKENS[kind])], frame


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_kind_is_of_that_kind(kind: str) -> None:
    """What the reference page shows is true, and no kind is without an example."""
    assert [hit.kind for hit in DETECTOR.find(KINDS[kind].example)] == [kind]
    assert KINDS[kind].meaning


def test_kinds_are_named_once() -> None:
    assert len(KINDS) == len(DETECTOR.kinds) > 200
    assert all(re.fullmatch(r"secret(?:\.[a-z0-9_]+)+", name) for name in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_prefilters_match_what_is_found(kind: str) -> None:
    """The hits of the matching prefilters are the hits of all."""
    text = f"so:\n{KINDS[kind].example}\nand on"
    active = build_prefilter((DETECTOR.prefilters,))(text)[0]
    assert list(DETECTOR.find(text, 0, active)) == list(DETECTOR.find(text))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_shows_nothing_of_a_secret(kind: str) -> None:
    """Any cut yields the result of the whole, and no piece shows eight characters of the secret."""
    text = f"so:\n{KINDS[kind].example}\nand on"  # a table has its lines for itself
    (hit,) = DETECTOR.find(text)
    secret, whole = text[hit.start : hit.end], sanitized(text)
    stream, out = StreamSanitizer(POLICY), ""
    for letter in text:
        out += stream.feed(letter)
    assert out + stream.flush() == whole
    assert not any(secret[at : at + 8] in whole for at in range(len(secret) - 7))
    for cut in range(1, len(text), 1 + len(text) // 60):
        stream = StreamSanitizer(POLICY)
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush() == whole


@pytest.mark.parametrize("kind", SECRETS)
def test_a_token_broken_by_invisible_characters_is_found(kind: str) -> None:
    """Hidden characters are taken out first; the finding spans the token as it stood in the original."""
    secret = SECRETS[kind]
    broken = secret[:2] + "\u200b" + secret[2:9] + "\x1b[0m" + secret[9:]
    result = Sanitizer().sanitize(f"a {broken} b")
    assert result.text == "a [redacted] b"
    spans = {(finding.category, finding.start, finding.end) for finding in result.findings}
    assert (Category.SECRET, 2, 2 + len(broken)) in spans


LINES = [body(64, seed=seed) for seed in range(12)] + [body(20) + "=="]


def block(label: str = "RSA PRIVATE", end: str = "\n", lines: list[str] = LINES, fields: str = "") -> str:
    return end.join(
        [f"-----BEGIN {label} " + "KEY-----", *([fields] if fields else []), *lines, f"-----END {label} KEY-----"]
    )


BLOCKS = {
    "rsa": block(),
    "ec": block("EC PRIVATE"),
    "plain": block("PRIVATE"),
    "encrypted": block("ENCRYPTED PRIVATE"),
    "openssh": block("OPENSSH PRIVATE"),
    "dsa with fields": block("DSA PRIVATE", fields="Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123ABCD\n"),
    "windows": block(end="\r\n"),
    "literal newlines": block(end="\\n"),
    "twice escaped": block(end="\\\\n"),
    "code points": block(end="\\u000a", fields="Version: 1"),
    "one line": block(end=" "),
    "indented": block(end="\n    "),
    "quoted": block(end="\n> "),
    "concatenated": block(end='\\n" +\n  "'),
    "shell": block(end="' >> key.pem\necho '"),
    "calls": block(end="\\n')\nfile.write('"),
    "html": block(end="</td></tr>\n<tr><td>"),
    "json lines": block(end='"}\n{"n": 2, "line": "'),
    "one long line": block(end="' >> key.pem\necho '", lines=["".join(LINES)]),
    "csv": block(end='",x\n2,"'),
    "pgp": block("PGP PRIVATE").replace("KEY-----", "KEY BLOCK-----"),
    "pgp with fields": block("PGP PRIVATE", fields="Version: GnuPG v2\nComment: none\n").replace("KEY-", "KEY BLOCK-"),
    "short": block("EC PRIVATE", lines=LINES[-3:]),
    "long": block(lines=LINES * 14),
    "ssh2": block("SSH2 ENCRYPTED PRIVATE").replace("-----BEGIN", "---- BEGIN").replace("-----END", "---- END"),
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("frame", ["{}", "key:\n{}\nand on", 'x = "{}"', "a {} b"])
def test_private_keys(name: str, frame: str) -> None:
    """A block is removed with its frame, and so is a truncated block, whole or in a stream."""
    text = frame.format(BLOCKS[name])
    assert sanitized(text) == frame.format("[redacted]")
    step = max(1, len(text) // 40)
    for cut in range(1, len(text), step):
        stream = StreamSanitizer(POLICY)
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush() == frame.format("[redacted]")


@pytest.mark.parametrize("name", BLOCKS)
def test_private_keys_that_are_cut_off(name: str) -> None:
    """The lines of a truncated key are removed, whole or in a stream."""
    text = BLOCKS[name]
    for cut in range(110, len(text), 1 + len(text) // 50):
        shown = sanitized(f"see {text[:cut]}")
        stream = StreamSanitizer(POLICY)
        assert "".join(map(stream.feed, f"see {text[:cut]}")) + stream.flush() == shown
        assert not any(line[at : at + 8] in shown for line in LINES for at in range(0, len(line) - 8, 4)), cut


def test_text_after_a_private_key_is_unchanged() -> None:
    """Of a block without its end, the lines that are there; prose about keys is left alone."""
    cut = PRIVATE_KEY[: PRIVATE_KEY.index("-----END")]
    assert sanitized(f"a {cut}\nThat was all.") == "a [redacted]\n\nThat was all."
    assert sanitized(f"{PRIVATE_KEY}\n{PRIVATE_KEY}") == "[redacted]\n[redacted]"
    stream = StreamSanitizer(POLICY)
    assert stream.feed("put -----BEGIN PRIVATE KEY----- on top of it, then the rest") == (
        "put -----BEGIN PRIVATE KEY----- on top of it, then the "
    )


def test_putty_keys() -> None:
    """The private lines of a PPK file go; the public ones stay."""
    text = "PuTTY-User-Key-File-2: ssh-rsa\nPublic-Lines: 2\n{}\n{}\nPrivate-Lines: 3\n{}\n{}\n{}\nPrivate-MAC: 1a2b\n"
    lines = [body(64, seed=seed) for seed in range(5)]
    kept = sanitized(text.format(*lines))
    assert kept == text.format(*lines[:2], "[redacted]", "", "").replace("[redacted]\n\n\n", "[redacted]\n")


JWT = ".".join([join("eyJhbGciOi", "JIUzI1NiIsInR5cCI6IkpXVCJ9"), body(120), body(43)])


@pytest.mark.parametrize("length", [100, 600, 2_000, 4_500])
def test_long_tokens_do_not_leak_from_a_stream(length: int) -> None:
    """A token longer than the held word is held until its end."""
    for text in (
        ".".join([JWT.partition(".")[0], body(length), body(43)]),
        "password=" + body(min(length, 3_500)),
        'api_key = "' + body(min(length, 900)) + '"',
        join("gl", "c_") + body(min(length, 390)),
        "a" * length + "/" + SECRETS["secret.github.token"],
    ):
        secret = text.rpartition("=")[2].strip(' "') if "=" in text else text
        stream, out = StreamSanitizer(POLICY), ""
        for at in range(0, len(text), 7):
            out += stream.feed(text[at : at + 7])
            assert "/" in secret or not any(secret[at : at + 8] in out for at in range(0, len(secret) - 8, 5))
        out += stream.feed(" done") + stream.flush()
        assert out == sanitized(text + " done")
        assert "[redacted]" in out


PHRASE = "quiz ladder orbit maple tunnel cactus violin harbor pepper socket window ginger"


@pytest.mark.parametrize(
    "frame",
    ["seed phrase: {}", "my mnemonic is {}", "Recovery phrase:\n{}", 'mnemonic = "{}"', "seed words: {}. Thanks!"],
)
def test_seed_phrases(frame: str) -> None:
    """Twelve words beside their name are removed, at every cut."""
    text = frame.format(PHRASE)
    assert sanitized(text) == frame.format("[redacted]")
    for cut in range(1, len(text)):
        stream = StreamSanitizer(POLICY)
        assert stream.feed(text[:cut]) + stream.feed(text[cut:]) + stream.flush() == frame.format("[redacted]")


def test_the_better_name_wins() -> None:
    """A token of known form beside a telling name has the issuer's name, and a field within a value its own."""
    secret = SECRETS["secret.github.token"]
    assert found(f"password = '{secret}'") == [("secret.github.token", secret)]
    assert found(f'"token": "AccountKey={body(86)}=="') == [("secret.assigned", body(86) + "==")]
    assert found(f"two: {secret},{JWT}") == [("secret.github.token", secret), ("secret.jwt", JWT)]


def test_commands() -> None:
    """`curl -u` has both halves of a credential, which go with their quotes; ports and other flags stay."""
    assert sanitized("curl -u svc:" + body(12) + " https://a.example") == "curl -u [redacted] https://a.example"
    assert sanitized(f"curl --user 'svc:{body(12)}' x") == "curl --user [redacted] x"
    assert sanitized("mysql -P 3306 -p app") == "mysql -P 3306 -p app"
    assert sanitized(f"tar -u svc:{body(12)}") == f"tar -u svc:{body(12)}"


@given(st.text("abcdefghijklmnopqrstuvwxyz .,?!", max_size=200))
def test_plain_words_are_never_secrets(text: str) -> None:
    """Small letters and stops can form no secret, whatever words they happen to make."""
    assert not list(DETECTOR.find(text))


@given(st.text(max_size=80), st.sampled_from(sorted(TOKENS)), st.text(max_size=40))
def test_any_code_point_may_stand_around(before: str, kind: str, after: str) -> None:
    """No text raises an error; scrubbing twice changes nothing more; a hit keeps to the bounds it names."""
    text = f"{before} {TOKENS[kind]} \ud800 {after}"
    for hit in DETECTOR.find(text):
        assert 0 <= hit.anchor <= hit.start < hit.end <= len(text)
        assert hit.start - hit.anchor <= REACH
    once = sanitized(text)
    assert sanitized(once) == once


def test_rules_keep_to_their_bounds() -> None:
    """The context and reach of every rule lie within the detector's."""
    for group in GROUPS:
        for rule in getattr(group, "rules", ()):
            assert rule.ahead + 2 < REACH
            assert rule.behind <= 512
            assert 0 < rule.score <= 1
    assert DETECTOR.context == CONTEXT


def test_shapes() -> None:
    assert re.fullmatch(shape("w4 '-' h2-3").pattern, example("w4 '-' h2-3", "x"))
    assert shape("w4 '-' h2-3").longest == 8
    with pytest.raises(ValueError, match="no form"):
        shape("w4 !")


def test_entropy_and_stand_ins() -> None:
    """Bits per character and stand-in detection, by example."""
    assert bits("") == 0
    assert bits("abcd") == 2
    assert is_stand_in("xxxxxxxxxxxx")
    assert is_stand_in("aaaabbbbaaaabbbb")
    assert is_stand_in("<password>")
    assert not is_stand_in(body(24))
    assert is_name("user-service-v2")
    assert not is_name(body(24))
    assert is_random(body(24))
    assert not is_random("user-service-v2-production")
    assert is_strong("Tr0ub4dor&3")
    assert not is_strong("sha256-hashed")


HOSTILE = [
    *["eyJ", ".eyJ", "-eyJ", "password=", "password is ", "'password':'", "://a:", "otpauth://", "AKIA", "sk-", "_"],
    *[" ghp_", "a", "A", "1", "pwd`", "token: ", "token=", 'key="', "密码：", "пароль ", "Q~", " -u", "seed abandon "],
    *["-----BEGIN RSA PRIVATE KEY-----", "-----", "Private-Lines: 9\n", "password for the server is ", "pwd=1token=2"],
    *["密码是", "パスワードは", "passphrase ", "secret is ", "password: \n", "pass=pass=", "password to "],
    *["password:***", "password=\\\n", "://a:b@c.d/", "<password>&lt;", "<key>password</key>", "PASSWORD<<A\n"],
    *["-----BEGIN RSA PRIVATE KEY-----\n", "<password><![CDATA["],
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """200,000 characters in CPU time; quadratic work would take minutes."""
    text = unit * (200_000 // len(unit))
    assert cpu_seconds(lambda: Sanitizer(POLICY).sanitize(text), 3) < 3
