"""Sends the HTTP requests of terminal commands to a running server."""

import http.client
import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import trio
from attrs import frozen

from understudy.cli.output import one_line

REQUEST_TIMEOUT_S: Final = 10.0
"""Seconds for the server to answer an HTTP request."""


class ServerFailed(Exception):
    """A server does not answer, or refuses a request; the text says why."""


@frozen
class ServerAddress:
    """The address of a server: whether it uses TLS, its host and port, and the path below which it is reached."""

    secure: bool
    place: str
    folder: str

    @classmethod
    def parse(cls, url: str) -> "ServerAddress":
        """Parse an address: `http://host:port`, with or without the scheme; ws and wss are accepted too.

        Raises:
            ServerFailed: The text is not an address.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            valid = parts.scheme in ("http", "https", "ws", "wss") and parts.hostname and parts.port != 0
        except ValueError:
            valid = None
        if not valid or "@" in parts.netloc or not url.isprintable():
            raise ServerFailed(f"{one_line(url)!r} is not an address; http://127.0.0.1:8002 is one")
        return cls(parts.scheme in ("https", "wss"), parts.netloc, parts.path.rstrip("/").removesuffix("/ws"))

    @property
    def socket(self) -> str:
        """The URL of the WebSocket."""
        return f"{'wss' if self.secure else 'ws'}://{self.place}{self.folder}/ws"

    async def ask(
        self, method: str, path: str, token: str | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send a request. Return the JSON object of the answer, which is empty for an answer without content.

        Raises:
            ServerFailed: The server refused, or did not answer.
        """
        return await trio.to_thread.run_sync(partial(self._ask, method, path, token, body), abandon_on_cancel=True)

    def _ask(self, method: str, path: str, token: str | None, payload: Mapping[str, Any] | None) -> dict[str, Any]:
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        content = b"" if payload is None else json.dumps(payload).encode()
        headers = {"Content-Length": str(len(content))} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection = kind(self.place, timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request(method, self.folder + path, content, headers)
            answer = connection.getresponse()
            body = {} if answer.status == 204 else json.loads(answer.read())
            if not isinstance(body, dict):
                raise ValueError
        except OSError as error:
            self._fail(f"there is no server at {self.place} ({error.strerror or error}); `understudy serve` starts one")
        except (http.client.HTTPException, ValueError):
            self._fail(f"what answers at {self.place} is not an understudy server")
        finally:
            connection.close()
        if answer.status == 401:
            self._fail("the server wants a valid session token: `understudy token --user NAME` makes one for --token")
        if answer.status >= 400:
            refusal = body.get("error")
            words = refusal.get("message", "") if isinstance(refusal, dict) else ""
            self._fail(f"the server refused with {answer.status}: {one_line(words)}")
        return body

    def _fail(self, sentence: str) -> NoReturn:
        raise ServerFailed(sentence) from None
