"""Parse the address of a Redis in the forms that its own clients take. What would count for nothing is refused by name.

    redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][?OPTION=VALUE&…], rediss:// with TLS, unix:///PATH of a socket

No error repeats a part of the address that may belong to a password.
"""

import ssl
from collections import Counter
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field, frozen

FORMS: Final = "redis://HOST:PORT, rediss://HOST:PORT (with TLS) or unix:///PATH (a socket)"
PLAIN, TLS, SOCKET = ("redis", "valkey"), ("rediss", "valkeys"), ("unix",)
"""Schemes, registered at IANA or taken by redis-cli, valkey-cli and redis-py."""
PORT: Final = 6379
TLS_OPTIONS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
OPTIONS: Final = ("db", *TLS_OPTIONS)
"""Options after the `?`, as redis-py and coredis name them."""
_SWITCHES: Final = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}


@frozen
class RedisAddress:
    """Where a Redis is and how to sign in there. `socket` is the path of a local socket, otherwise empty."""

    host: str
    port: int
    socket: str
    database: int
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    tls: dict[str, str] | None
    """The options of TLS, None without TLS."""

    @property
    def where(self) -> str:
        """The place for operators, without a password."""
        return self.socket or f"{self.host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """Read the certificates. The server's name is checked unless an option says otherwise.

        Raises:
            ValueError: A file cannot be used; the text names the option.
        """
        if self.tls is None:
            return None
        authority, certificate = self.tls.get("ssl_ca_certs"), self.tls.get("ssl_certfile")
        try:
            context = ssl.create_default_context(cafile=authority)
        except OSError as error:
            raise ValueError(f"ssl_ca_certs of redis.url, {authority}, cannot be used: {error.strerror}") from error
        if certificate is not None:
            key = self.tls.get("ssl_keyfile")
            try:
                context.load_cert_chain(certificate, key, password="")  # never ask a terminal for one
            except OSError as error:
                which = f"{certificate}{f' with {key}' if key else ''}"
                raise ValueError(
                    f"ssl_certfile of redis.url, {which}, cannot be used: {error.strerror or error}"
                ) from error
        unchecked = self.tls.get("ssl_cert_reqs") == "none"
        context.check_hostname = self.tls.get("ssl_check_hostname") != "false" and not unchecked
        if unchecked:
            context.verify_mode = ssl.CERT_NONE
        return context


def parse_redis_address(url: str) -> RedisAddress:
    """Parse an address. Raises ValueError, whose text follows the name of the setting."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in (*PLAIN, *TLS, *SOCKET):
        raise ValueError(f"must be {FORMS}" + (f"; it begins with {scheme[:20]!r}" if separator else ""))
    if "#" in url:
        raise ValueError("has a # in it: in a password it is written %23")
    try:
        parts = urlsplit(url)
        host, port, path = parts.hostname or "", parts.port, unquote(parts.path)
    except ValueError:  # such as a port that is no number, or an unfinished [
        if "," in rest.rpartition("@")[2].partition("?")[0]:
            raise ValueError(f"must be {FORMS}; several hosts are not supported: name one, or a proxy") from None
        raise ValueError(f"must be {FORMS}") from None
    options = _options(parts.query)
    if scheme in SOCKET:
        if host or not path.strip("/"):
            raise ValueError("must name the whole path of a socket, behind three slashes: unix:///PATH")
    else:
        if not host or "," in host or port == 0:
            raise ValueError(f"must be {FORMS}, and names no host, or several" if port != 0 else f"must be {FORMS}")
        if (number := path.strip("/")) and options.setdefault("db", number) != number:
            raise ValueError("names two databases: one of /NUMBER and ?db=NUMBER must go")
    database = options.get("db", "0")
    if not (database.isascii() and database.isdecimal()):
        raise ValueError(f"must be {FORMS}, with /NUMBER or ?db=NUMBER at its end for another database than 0")
    tls: dict[str, str] = {name: options[name] for name in TLS_OPTIONS if name in options}
    if tls and scheme not in TLS:
        raise ValueError(f"has the option {min(tls)!r} without TLS: it needs rediss://")
    if "ssl_keyfile" in tls and "ssl_certfile" not in tls:
        raise ValueError("has the option 'ssl_keyfile' without 'ssl_certfile'")
    socket = path if scheme in SOCKET else ""
    username, password = (unquote(each) if each else None for each in (parts.username, parts.password))
    return RedisAddress(host, port or PORT, socket, int(database), username, password, tls if scheme in TLS else None)


def _options(query: str) -> dict[str, str]:
    """Return the options. Raises ValueError for an unknown, a repeated, an empty or a wrong one."""
    given = parse_qsl(query, keep_blank_values=True)
    for name, number in Counter(name for name, _ in given).items():
        if name not in OPTIONS:
            if name in ("username", "password"):
                raise ValueError(
                    f"has the option {name!r}: both stand before the host, as in redis://USER:PASSWORD@HOST"
                )
            if "@" in query:  # then the name may be a part of the password
                raise ValueError(f"must be {FORMS}: a ? in a password is written %3F")
            raise ValueError(f"has the option {name[:40]!r}, which is not supported: {', '.join(OPTIONS)} are")
        if number > 1:
            raise ValueError(f"has the option {name!r} {number} times")
    options = dict(given)
    for name, value in options.items():
        if not value or value.lower() not in _SWITCHES.get(name, (value.lower(),)):
            words = ", ".join(_SWITCHES.get(name, ("a value",)))
            raise ValueError(f"has the option {name!r} with a value that it cannot have: it needs {words}")
    return {name: value.lower() if name in _SWITCHES else value for name, value in options.items()}
