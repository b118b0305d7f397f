"""Recognizes connections from processes of the user who runs this server, who is an operator on a loopback address."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import trio

from transport.auth.identity import is_loopback
from understudy.auth.rights import OPERATOR

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""The sockets of this machine and the users who own them: proc(5). Other systems have no such file."""
_FORWARDED: Final = re.compile(
    r"(?s).*forward.*|via|cdn-loop|(?:.*-)?(?:client|socket)?(?:ip|addr|address)|(?:.*-)?(?:proto|scheme)"
    r"|(?:cf|cdn|fastly|fly|ngrok|tailscale|x-(?:amzn?|appengine|arr|azure|envoy|nf|original|proxy|vercel))-.*"
)
"""Names of headers that proxies add (RFC 7239, RFC 9110 section 7.6.3, RFC 8586, and those of cloud services).
Browsers and programs do not send them by themselves."""
_ESTABLISHED: Final = "01"
READS: Final = 3
"""Times that the tables are read before a socket counts as not found."""
MAX_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a table that are read, enough for some 27,000 sockets. Further sockets are not found."""


class LocalSettings(Protocol):
    """The settings that say whether there is a local operator."""

    @property
    def anonymous(self) -> bool:
        """Whether users without a token get a session."""

    @property
    def local_operator(self) -> bool:
        """Whether the session of the user who runs the server is an operator's."""


async def local_roles(
    settings: LocalSettings, client: tuple[str, int] | None, headers: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the roles of a user without a token: operator, if the socket with the address `client` belongs to the user
    who runs the server, else none. A request that a proxy has forwarded gets none.

    `headers` have lower-case names.
    """
    if not (settings.anonymous and settings.local_operator) or client is None or not is_loopback(client[0]):
        return ()
    if any(_FORWARDED.fullmatch(name) for name in headers):
        return ()
    owner = await trio.to_thread.run_sync(owner_of_socket, client[1])
    return (OPERATOR,) if owner is not None and owner in (0, os.getuid()) else ()


def owner_of_socket(port: int) -> int | None:
    """Return the id of the user who owns the open TCP socket of a loopback address and port; None if the socket is not
    found, or several users have one of that port. Blocks.

    The kernel returns a table in pieces, and an entry may be missing if it changes in between, so it is read again.
    """
    for _ in range(READS):
        owners = {owner for table in _TABLES for owner in _owners(table, port)}
        if owners:
            return owners.pop() if len(owners) == 1 else None
    return None


def _owners(table: Path, port: int) -> Iterator[int]:
    """Yield the owners of the sockets of a port in a table of the kernel."""
    try:
        with table.open("rb") as stream:
            lines = stream.read(MAX_BYTES).decode("ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) > 7 and fields[3] == _ESTABLISHED and int(fields[1].rpartition(":")[2], 16) == port:
            yield int(fields[7])
