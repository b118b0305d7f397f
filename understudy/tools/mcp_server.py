"""`mcp` declares an MCP server, a command or an address, whose tools an agent uses. Plain data."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen, validators

from transport.auth.addresses import is_named_private

INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")
"""Variables of this process that every command is given: programs need them, and none is a secret."""
USER: Final = "user"
"""The only value of `auth`: each user signs in."""
MAX_NAME: Final = 24
"""Characters of a server's name. A tool's name, which begins with it, must fit into the 64 that providers allow."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,23}\Z")
_PLAIN: Final = re.compile(r"[^a-z0-9]+")
_COMMON: Final = frozenset(
    {"mcp", "server", "api", "www", "modelcontextprotocol", "stdio", "run", "python", "node", "localhost"}
)


def _check_name(_: Any, __: Any, value: str) -> None:
    if not _NAME.match(value):
        raise ValueError(
            f"{value!r} cannot be an MCP server's name: a lower-case letter, then letters, digits, '_' or '-', "
            f"{MAX_NAME} at most; say mcp(…, name='…')"
        )


@frozen
class McpServer:
    """An MCP server, reached by a command over stdio or by an address over streamable HTTP. Made by `mcp`.

    Agents that declare an equal server share its connection. `env` has values by name; `inherited` names variables of
    this process that the command is given too. See `mcp` for the other attributes.
    """

    name: str = field(validator=_check_name)
    command: tuple[str, ...] = field(default=(), repr=False)
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    env: Mapping[str, str] = field(factory=dict, repr=False)
    inherited: tuple[str, ...] = ()
    cwd: str | None = None
    only: tuple[str, ...] | None = None
    approval: bool | None = None
    timeout_s: float = field(default=60.0, validator=validators.gt(0))
    start_s: float = field(default=30.0, validator=validators.gt(0))
    auth: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    scope: str = ""

    @property
    def per_user(self) -> bool:
        """Whether each user signs in, and has a connection of their own."""
        return self.auth == USER

    @property
    def is_private(self) -> bool:
        """Whether its host name is that of a private network; then its authorization server may be private, too."""
        return is_named_private(urlsplit(self.url).hostname or "")

    @property
    def where(self) -> str:
        """The program or the origin, to be shown: without arguments or a query, which may contain secrets."""
        if self.command:
            return PurePath(self.command[0]).name
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def environment(self) -> dict[str, str]:
        """Return the variables of the command. Raises ValueError if an inherited one is not set."""
        missing = [name for name in self.inherited if name not in os.environ]
        if missing:
            raise ValueError(f"the variable {missing[0]}, which it is to be given, is not set")
        names = (*INHERITED, *self.inherited)
        return {name: os.environ[name] for name in names if name in os.environ} | dict(self.env)


def mcp(
    target: str | Sequence[str],
    *,
    name: str = "",
    headers: Mapping[str, str] | None = None,
    env: Mapping[str, str] | Iterable[str] = (),
    cwd: str | None = None,
    tools: Iterable[str] | None = None,
    approval: bool | None = None,
    timeout_s: float = 60.0,
    start_s: float = 30.0,
    auth: str | None = None,
    client_id: str = "",
    client_secret: str = "",
    scope: str = "",
) -> McpServer:
    """Declare an MCP server whose tools an agent gets: `Agent(tools=[mcp("npx -y some-server")])`.

    `target` is a command line, which is split as a shell does but run without one, a list of its words, or an address
    with http or https. `name` (by default made of the target) begins the names of its tools. `headers` are sent to an
    address with every request. A command gets only harmless variables of this process (`INHERITED`); `env` adds values
    by name, or names more variables of this process. `tools` are the names of the tools to use, by default all.

    `approval`: whether calls wait for their user's consent. By default the server's annotations of a tool decide: a
    tool that only reads, or destroys nothing, needs none. A call may take `timeout_s`, a connection `start_s` seconds.

    `auth="user"`: each user signs in at the server, by OAuth. This server registers itself there, unless `client_id`
    (and `client_secret`) are given. `scope` is the OAuth scope to request, by default the one that the server names.

    Raises ValueError or TypeError for a malformed target or options that exclude each other.
    """
    words = _words(target)
    url = words[0] if len(words) == 1 and "://" in words[0] else ""
    if url:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of an MCP server: it begins with http:// or https://")
        if parts.username or parts.password:
            raise ValueError("the address of an MCP server has no user name; give headers={'Authorization': …}")
        if env or cwd:
            raise ValueError(f"{url} is reached over HTTP: env and cwd are for commands")
    elif headers:
        raise ValueError(f"{words[0]} is a command: headers are for addresses; give it env")
    if isinstance(env, str):
        raise TypeError(f"env is a list of names, or values by name, not the one text {env!r}")
    server = McpServer(
        name or (_name_of_host(url) if url else _name_of_command(words)),
        () if url else words,
        url,
        dict(headers or {}),
        dict(env) if isinstance(env, Mapping) else {},
        () if isinstance(env, Mapping) else tuple(env),
        cwd,
        None if tools is None else tuple(tools),
        approval,
        timeout_s,
        start_s,
        auth or "",
        client_id,
        client_secret,
        scope,
    )
    _check_auth(server)
    return server


def _check_auth(server: McpServer) -> None:
    if not server.auth:
        if server.client_id or server.client_secret or server.scope:
            raise ValueError("client_id, client_secret and scope are for auth='user'")
        return
    if server.auth != USER:
        raise ValueError(f"auth is 'user', not {server.auth!r}; for a token of your own give headers")
    if not server.url:
        raise ValueError("auth='user' is for an address: a command has its secrets in env")
    if urlsplit(server.url).scheme != "https" and not server.is_private:
        raise ValueError(f"{server.url}: users' tokens are sent over https only")
    if any(name.lower() == "authorization" for name in server.headers):
        raise ValueError("auth='user' sends each user's token: headers must not have Authorization")
    if server.client_secret and not server.client_id:
        raise ValueError("client_secret needs client_id")


def _words(target: str | Sequence[str]) -> tuple[str, ...]:
    words = tuple(shlex.split(target)) if isinstance(target, str) else tuple(target)
    if not all(words) or not words:
        raise ValueError(f"{target!r} names no MCP server: give a command line or an address")
    return words


def _name_of_host(url: str) -> str:
    """Return a name made of a host, such as `linear` for `https://mcp.linear.app/mcp`."""
    labels = (urlsplit(url).hostname or "").split(".")
    distinctive = [label for label in labels[:-1] or labels if label.lower() not in _COMMON and not label.isdigit()]
    return _to_name(distinctive[-1] if distinctive else "mcp")


def _name_of_command(words: Sequence[str]) -> str:
    """Return a name made of the first word that is neither option nor path: `time` for `uvx mcp-server-time`."""
    plain = [word for word in words[1:] if not word.startswith(("-", "/", ".")) and "=" not in word]
    scripts = [word for word in words[1:] if word.startswith(("/", ".")) and PurePath(word).suffix]
    first = (plain or scripts or list(words))[0]
    stem = PurePath(first).name
    return _to_name(stem.split("@")[0] if "@" in stem[1:] else stem.removesuffix(PurePath(stem).suffix) or stem)


def _to_name(text: str) -> str:
    parts = [part for part in _PLAIN.split(text.lower()) if part]
    distinctive = [part for part in parts if part not in _COMMON] or parts or ["mcp"]
    name = "_".join(distinctive)
    return (name if name[0].isalpha() else f"mcp_{name}")[:MAX_NAME].rstrip("_")
