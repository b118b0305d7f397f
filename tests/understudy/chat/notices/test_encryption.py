"""The encryption of notices, by the example of RFC 8291, and the server's key."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.end_to_end.push_service import AUTH, Device, claims_of
from transport.auth import base64url
from understudy.chat.notices.encryption import (
    CURVE,
    MAX_PLAIN,
    BrowserKeys,
    ServerKey,
    encrypt,
    read_keys,
)

PLAIN = b"When I grow up, I want to be a watermelon"
POINT = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
SECRET = "BTBZMqHH6r4Tts7J_aSIgg"
OWN = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
    "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)
"""RFC 8291, appendix A."""


def test_the_example_of_the_standard() -> None:
    own = ec.derive_private_key(int.from_bytes(base64url.decode(OWN)), CURVE)
    assert base64url.encode(encrypt(PLAIN, read_keys(POINT, SECRET), own, base64url.decode(SALT))) == BODY


def test_each_message_is_another_and_opens_with_the_keys_of_its_browser() -> None:
    device = Device()
    keys = read_keys(device.keys["p256dh"], device.keys["auth"])
    one, other = (encrypt(PLAIN, keys) for _ in range(2))
    assert one != other
    assert device.open(one) == device.open(other) == PLAIN
    with pytest.raises(ValueError, match="3000"):
        encrypt(b"x" * (MAX_PLAIN + 1), keys)


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [("", ""), (POINT, "AAAA"), (POINT[:-4], SECRET), ("B" * len(POINT), SECRET), (POINT, "not base64!")],
)
def test_keys_that_are_none_are_refused(p256dh: str, auth: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whichever part
        read_keys(p256dh, auth)


def test_the_servers_key_stays_and_signs_for_each_push_service() -> None:
    one, same, other = (ServerKey(secret, "mailto:ops@example.org", lambda: 4e9) for secret in (b"a", b"a", b"b"))
    assert one.public == same.public != other.public
    assert BrowserKeys(base64url.decode(one.public), AUTH).p256dh[0] == 4
    claims = claims_of(one.authorization("https://push.example.org:444/x/y?z"), one.public)
    assert claims == {"aud": "https://push.example.org:444", "exp": 4_000_043_200, "sub": "mailto:ops@example.org"}
