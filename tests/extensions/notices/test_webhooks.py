"""Which addresses may be called, and how a request is signed."""

import pytest

from understudy.extensions.notices.settings import read_secret
from understudy.extensions.notices.webhooks import WebhookRefused, WebhookRules

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


def test_a_private_host_is_refused_unless_the_settings_allow_it() -> None:
    """A public address with https may be named without a look-up of its host."""
    rules = WebhookRules([], b"")
    assert rules.check_public("https://example.org/in") == "https://example.org/in"
    with pytest.raises(WebhookRefused, match="private address"):
        rules.check_public("https://127.0.0.1/in")
    with pytest.raises(WebhookRefused, match="with https"):
        rules.check_public("http://example.org/in")
    assert WebhookRules([], b"", private=True).check_public("https://127.0.0.1/in") == "https://127.0.0.1/in"


def test_the_example_of_the_standard_is_signed_as_published() -> None:
    secret = read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = WebhookRules([], secret).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_may_be_plain_text() -> None:
    assert read_secret("plain") == b"plain"
    with pytest.raises(ValueError, match="after whsec_ it must be base64"):
        read_secret("whsec_not base64!")
