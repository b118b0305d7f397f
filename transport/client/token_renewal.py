"""Renewal of a connection's token while it is open; commands that were refused for the old token are sent again."""

from typing import Final

import trio

from transport.client.connection import Connection
from transport.client.credentials import Credentials
from transport.client.decoder import Received
from transport.client.unacked import UnackedCommand, UnackedCommands
from transport.wire.errors import TransportError

RENEW_AGAIN_S: Final = 30.0
"""Seconds between renewals if the source returned the same token."""


class TokenRenewal:
    """Presents newer tokens on the connection in use."""

    def __init__(self, credentials: Credentials, unacked: UnackedCommands) -> None:
        self._credentials = credentials
        self._unacked = unacked
        self._expired = trio.Event()
        self._refused: list[UnackedCommand] = []  # commands refused only because the token had expired
        self._refreshed_at = -float("inf")  # when a newer token was presented on this connection
        self._sent_before: set[UnackedCommand] = set()  # commands that the server may have judged by the old token

    def forget(self) -> None:
        """Forget the state of a connection that has ended."""
        self._refused.clear()
        self._refreshed_at = -float("inf")

    def retry(self, event: Received, code: str, connection: Connection) -> bool:
        """Present a newer token, here or on a new connection, and send the refused message again.

        Return whether that is possible: the refusal may concern the token, and there is a source of tokens, or a newer
        token was presented just now.
        """
        if code != "token_expired" and (code not in ("unauthenticated", "forbidden") or event.message_id is not None):
            return False
        refused = self._unacked.get(("message", event.message_id or ""))
        if trio.current_time() - self._refreshed_at < RENEW_AGAIN_S:
            if refused is None or refused not in self._sent_before:
                connection.disconnect("the server refused the newer token")
            self._sent_before.discard(refused)
            connection.resend([refused])
            return True
        if self._credentials.source is None or code != "token_expired":
            return False
        if refused is not None:
            self._refused.append(refused)
        self._expired.set()
        return True

    def mark_refreshed(self, connection: Connection) -> None:
        """Record that a newer token is being presented on the connection in use."""
        self._refreshed_at = trio.current_time()
        self._sent_before = connection.sent.difference(self._refused)

    async def run(self, connection: Connection) -> None:
        """Get a newer token and present it: shortly before the old one expires, and when the server asks for it."""
        while True:
            due_s = self._credentials.renew_in_s()
            with trio.move_on_after(float("inf") if due_s is None else due_s):
                await self._expired.wait()
            old_token = self._credentials.token
            try:
                token = await self._credentials.get_token()
            except (OSError, TransportError, trio.TooSlowError):
                token = old_token
            self._expired = trio.Event()
            if token != old_token:
                self.mark_refreshed(connection)
                await connection.send({"type": "refresh", "payload": {"session_token": token}})
                connection.resend(self._refused)
                self._refused.clear()
            if token == old_token or self._credentials.renew_in_s() == 0:
                await trio.sleep(RENEW_AGAIN_S)
