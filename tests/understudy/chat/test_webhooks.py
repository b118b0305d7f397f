"""Which addresses may be called, and how a request is signed."""

import pytest

from understudy.chat.webhooks import WebhookRefused, WebhookRules, is_public, read_secret

RULES = WebhookRules(["https://hooks.example.org/in", "http://other.example:8080"], b"key")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/in",
        "https://hooks.example.org:443/in/a?b=c",
        "https://HOOKS.example.org/in/",
        "http://other.example:8080/any",
    ],
)
def test_an_address_under_a_prefix_may_be_called(url: str) -> None:
    assert RULES.check(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/inside",
        "https://hooks.example.org/in/../out",
        "https://hooks.example.org/in/%2e%2e/out",
        "https://hooks.example.org.evil.example/in",
        "https://hooks.example.org@evil.example/in",
        "http://hooks.example.org/in",
        "https://hooks.example.org:8443/in",
        "file:///in",
        "https://hooks.example.org/in" + "x" * 2000,
        "",
        7,
    ],
)
def test_any_other_is_refused(url: object) -> None:
    with pytest.raises(WebhookRefused):
        RULES.check(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
    ],
)
def test_private_addresses_are_known(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_the_example_of_the_standard_is_signed_as_published() -> None:
    """The published example of Standard Webhooks, with its secret, id and time."""
    secret = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = WebhookRules([], secret).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_may_be_plain_text() -> None:
    assert read_secret("plain") == b"plain"
    with pytest.raises(ValueError, match="after whsec_ it must be base64"):
        read_secret("whsec_not base64!")
