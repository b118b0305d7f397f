"""The settings of webhooks."""

import base64
import binascii
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import typed_settings
from attrs import field, frozen

from transport.auth.fetch import is_base
from transport.auth.tokens import MIN_SECRET_BYTES

if TYPE_CHECKING:
    from understudy.app.settings import Settings


SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - of a secret, not one


def read_secret(text: str) -> bytes:
    """Return the bytes of a secret: base64 after ``whsec_``, else the text in UTF-8. Raises ValueError if malformed."""
    if not text.startswith(SECRET_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("after whsec_ it must be base64") from error


@frozen
class WebhookSettings:
    """The addresses that the server may call, and the secret that signs its requests."""

    urls: list[str] = field(factory=list)
    """Prefixes of the addresses that webhooks may call; none unless set."""
    secret: typed_settings.SecretStr = field(default=typed_settings.SecretStr(""), repr=False)
    """The secret that signs webhooks, of 32 bytes or more; needed with `urls`."""
    private: bool = False
    """Whether the hosts of webhooks may have private addresses."""

    def faults(self, _: "Settings") -> Iterator[str]:
        """Yield a sentence for each fault of the settings."""
        named = "webhook.secret (UNDERSTUDY_WEBHOOK_SECRET)"
        for url in self.urls:
            if not is_base(url):
                yield f"webhook.urls must be an address such as https://hooks.example.org/understudy, not {url!r}"
        if self.secret and len(str(self.secret).encode()) < MIN_SECRET_BYTES:
            yield f"{named} is too short: a secret has {MIN_SECRET_BYTES} bytes or more"
        if bool(self.urls) != bool(self.secret):
            yield (
                f"webhook.urls and {named} belong together: receivers check by the secret that a webhook is from this "
                "server (`openssl rand -hex 32` makes one)"
            )
        try:
            read_secret(str(self.secret))
        except ValueError as error:
            yield f"{named}: {error}"
