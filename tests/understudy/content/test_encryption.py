"""Original texts: encrypted for one message of one user, decrypted with the same key only."""

from pathlib import Path

import pytest

from understudy.content.encryption import DecryptionFailed, TextCipher, load_cipher

KEY = b"k" * 32


@pytest.mark.parametrize("text", ["", "my secret", "\udc00 half", "ä" * 100_000])
def test_a_text_comes_back_and_cannot_be_read_meanwhile(text: str) -> None:
    """The same text is encrypted differently each time."""
    cipher = TextCipher(KEY)
    sealed = cipher.encrypt("ada", "m1", text)
    assert TextCipher(KEY).decrypt("ada", "m1", sealed) == text
    assert cipher.encrypt("ada", "m1", text) != sealed
    assert len(text) < 3 or text[:20].encode("utf-8", "surrogatepass") not in sealed


def test_nothing_else_opens_it() -> None:
    """Another key, user or message and a changed or cut byte raise `DecryptionFailed`."""
    cipher = TextCipher(KEY)
    sealed = cipher.encrypt("ada", "m1", "text")
    tries = [
        (TextCipher(b"l" * 32), "ada", "m1", sealed),
        (cipher, "bob", "m1", sealed),
        (cipher, "ada", "m2", sealed),
        (cipher, "adam", "1", sealed),
        (cipher, "ada", "m1", sealed[:-1]),
        (cipher, "ada", "m1", sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:]),
        (cipher, "ada", "m1", b""),
    ]
    for opener, owner, message_id, given in tries:
        with pytest.raises(DecryptionFailed):
            opener.decrypt(owner, message_id, given)


def test_accepted_keys_decrypt_and_only_the_first_encrypts() -> None:
    """What an accepted key encrypted is encrypted again with the first; what the first did is left."""
    old, new = b"o" * 32, b"n" * 32
    before = TextCipher(old).encrypt("ada", "m1", "text")
    both = TextCipher(new, [b"x" * 32, old])
    assert both.decrypt("ada", "m1", before) == "text"
    after = both.reseal("ada", "m1", before)
    assert after is not None
    assert TextCipher(new).decrypt("ada", "m1", after) == "text"
    assert both.reseal("ada", "m1", after) is None
    assert both.reseal("ada", "m1", both.encrypt("ada", "m1", "more")) is None
    for closed in (TextCipher(b"z" * 32).encrypt("ada", "m1", "text"), before[:-1]):
        with pytest.raises(DecryptionFailed):
            both.reseal("ada", "m1", closed)


def test_a_key_is_long_and_can_be_had(tmp_path: Path) -> None:
    """The key comes from the setting or its file, without the final line end; an error names the problem."""
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    sealed = load_cipher(KEY.decode(), None).encrypt("ada", "m1", "text")
    assert load_cipher("", path).decrypt("ada", "m1", sealed) == "text"
    path.write_bytes(b"short")
    for key, file in (("short", None), ("", path), ("", None)):
        with pytest.raises(ValueError, match="key"):
            load_cipher(key, file)
    with pytest.raises(OSError, match="raw_key_file"):
        load_cipher("", tmp_path / "none")
    with pytest.raises(OSError, match="accepted_raw_keys"):
        load_cipher(KEY.decode(), None, [f"file:{tmp_path / 'none'}"])
    with pytest.raises(ValueError, match="too short"):
        load_cipher(KEY.decode(), None, [f"file:{path}"])
