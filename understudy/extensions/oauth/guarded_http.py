"""Makes requests to addresses that other servers name in their metadata, and that therefore cannot be trusted.

1. Addresses are https and public, unless `private`. The connection goes to one of the addresses that were checked.
2. Redirects are not followed. The size of a response and the duration of a request are bounded.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec
import trio
from attrs import frozen

from transport.auth.addresses import PrivateAddress, resolve
from transport.auth.fetch import HttpResponse, is_fetchable, request
from transport.wire.errors import FetchFailed
from understudy.extensions.oauth.errors import Unreachable, Untrusted

MAX_BYTES: Final = 128 * 1024
"""Limit of bytes of a response; metadata and tokens have a few thousand."""
WITHIN_S: Final = 10.0
"""Seconds for one request, with the look-up of its host's name."""
MAX_URL: Final = 2000


@frozen
class GuardedHttp:
    """Makes the requests of a sign-in. `private`: http and private addresses may be called too."""

    private: bool = False

    def check(self, url: object) -> str:
        """Return an address that a response named. Raises `Untrusted` if it may not be used."""
        if not isinstance(url, str) or len(url) > MAX_URL or not is_fetchable(url):
            raise Untrusted("it names an address that is none")
        if not self.private and urlsplit(url).scheme != "https":
            raise Untrusted(f"its address {_host(url)} is not https")
        return url

    async def get(self, url: str, headers: Mapping[str, str] = MappingProxyType({})) -> HttpResponse:
        """Get a document. Raises `Untrusted` and `Unreachable`."""
        return await self._request("GET", url, headers)

    async def post_json(self, url: str, body: Any) -> HttpResponse:
        """Send JSON. Raises `Untrusted` and `Unreachable`."""
        return await self._request("POST", url, {"Content-Type": "application/json"}, msgspec.json.encode(body))

    async def post_form(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> HttpResponse:
        """Send a form. Raises `Untrusted` and `Unreachable`."""
        form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return await self._request("POST", url, form, urlencode(fields).encode())

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> HttpResponse:
        self.check(url)
        try:
            with trio.fail_after(WITHIN_S):
                checked = await resolve(url, private=self.private)
                return await request(
                    method, url, headers=headers, body=body, connect_to=checked, max_bytes=MAX_BYTES, within_s=WITHIN_S
                )
        except PrivateAddress:
            raise Untrusted(f"its address {_host(url)} is private") from None
        except FetchFailed as error:
            raise Unreachable(f"{_host(url)}: {error.reason}") from None
        except trio.TooSlowError:
            raise Unreachable(f"{_host(url)}: no answer within {WITHIN_S:g} s") from None
        except OSError as error:
            raise Unreachable(f"{_host(url)}: {error.strerror or type(error).__name__}") from None


def _host(url: str) -> str:
    return urlsplit(url).netloc[:200]
