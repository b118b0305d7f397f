"""Every setting of the server, with its default and unit: from `understudy.toml`, the environment, the command line.

The later wins: defaults, then the file (or the ones named by `UNDERSTUDY_SETTINGS`), then `UNDERSTUDY_*` variables,
then options of the command. Values are judged one by one, so that a fault can say which one it is and where it stands.
"""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, get_args
from urllib.parse import urlsplit

import attrs
import typed_settings
from attrs import evolve, field, frozen
from attrs.validators import ge, gt, in_, le, optional
from cattrs import BaseValidationError

from transport.auth.fetch import is_fetchable
from transport.auth.forwarded import TrustedProxies
from transport.auth.identity import is_loopback, is_origin
from transport.auth.tokens import MIN_SECRET_BYTES
from transport.connection.limits import Limits
from understudy.extension import ExtensionFault, brought, chosen, installed
from understudy.models.keys import BadKey, file_of, read_secret
from understudy.models.prices import Price, PriceTable
from understudy.models.providers import BUILT_IN, ModelProvider, Providers, with_settings
from understudy.models.timeouts import Timeouts, Times
from understudy.observe.hidden import hidden
from understudy.tools.suggestion import did_you_mean

T = TypeVar("T")
APP: Final = "understudy"
FILE: Final = "understudy.toml"
FILES_VARIABLE: Final = "UNDERSTUDY_SETTINGS"
_NO_SETTING: Final = re.compile("UNDERSTUDY_(?:SETTINGS|TOKEN|RECORD|PAGE_BUNDLE)")
"""Variables with a meaning elsewhere."""
_OF_PLATFORM: Final = re.compile(
    r"UNDERSTUDY_(?:\w+_)?(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_\w+)?)|UNDERSTUDY_ENV_\w+"
)
"""Variables that Kubernetes makes of the services of a namespace, and Docker of a link, if their names begin with
ours."""
_OF_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://\S+|/\S+/\S+")
"""The texts of two more of these, which may have the names of settings: `…_PORT` is an address, and `…_NAME` the names
of the two containers."""
DATABASE_FILE: Final = "understudy.db"
"""The database's file name. Repeated here because storage takes long to import and most commands do not need it."""
POSTGRESQL: Final = re.compile(r"postgres(?:ql)?://|\s*[a-z_]+\s*=")
"""How an address of libpq begins: a URI, or keywords with values (`host=db dbname=chat`)."""
DATABASE_URL_FORMS: Final = (
    "postgresql://USER@HOST/NAME, sqlite:///FOLDER, sqlite:////ABSOLUTE/FOLDER, "
    f"or either of these two with /{DATABASE_FILE} at its end"
)

RESERVED_CLAIMS: Final = frozenset({"sub", "sid", "exp", "nbf", "iat", "iss", "aud", "roles"})
"""Claims with a meaning of their own, which cannot name the tenant."""

MIN_DISTINCT_CHARACTERS: Final = 8
"""Distinct characters below which a secret is reported as weak. 32 random hexadecimal digits have fewer in one case of
a hundred million."""

PRESETS: Final = ("standard", "strict", "off")
"""Named policies for `scrub_policy`. Repeated here because most commands do not need the content filter."""

HEADER_NAME: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
"""What the name of a header of HTTP may be (RFC 9110 section 5.1)."""

DEFAULT: Final = "default"
COMMAND: Final = "command"
"""Sources of settings that are in no file and no variable; see `DescribedSetting`."""
TABLES: Final = ("limits", "own", "prices", "providers", "timeouts")
"""Settings that are tables of a file."""
ROWS: Final[Mapping[str, Any]] = {"models.prices": Price, "models.timeouts": Times, "providers": ModelProvider}
"""Tables of a file whose members are tables by a name, and what one of these is."""

Found: TypeAlias = dict[str, tuple[Any, str]]
"""Values by the dotted names of their settings, each with the name of its source for error messages."""


class BadSettings(ValueError):
    """A setting is missing or wrong; the text names it and says how to correct it."""


@frozen
class Settings:
    """All settings of a server. Sizes are in bytes, times in seconds unless the name says otherwise."""

    host: str = "127.0.0.1"
    """The address to listen on, `::` for all of IPv6 and IPv4; any but a loopback address needs a secret or a
    `jwks`."""
    port: int = field(default=8002, validator=[ge(0), le(65535)])
    """The port of everything; 0 takes a free one."""
    tls_certificate: Path | None = None
    """A PEM file: the server's certificate and its intermediate certificates; with it and `tls_key` the port uses
    TLS."""
    tls_key: Path | None = None
    """A PEM file: the key of that certificate, without a password."""
    data_dir: Path = Path("data")
    """The database, the files, and the secret that the server generated for itself; the server sets its mode to 0700
    (files 0600)."""
    database_url: str = field(default="", repr=False)
    """`sqlite:///FOLDER`, the folder of the database, if it is not the data folder (`sqlite:////FOLDER` for an absolute
    path; may also end in `/understudy.db`); or `postgresql://USER@HOST/NAME`, or any other address of libpq."""
    redis_url: str = field(default="", repr=False)
    """`redis://HOST:PORT`: the Redis through which several servers over one PostgreSQL work as one; `rediss://` with
    TLS, `unix:///PATH` for a socket, `:PASSWORD@` before the host, `/NUMBER` at the end for another of its
    databases."""
    model: str = "offline"
    """`offline`, or `PROVIDER:NAME`, such as `openai:NAME`; several, separated by commas, are a chain."""
    model_window_tokens: int = field(default=128_000, validator=ge(2_000))
    """The window of the language model: longer conversations are shortened."""
    model_max_output: int = field(default=8_192, validator=gt(0))
    """The longest reply: it is asked of the provider, and this part of the window is kept free for it; half of the
    window at most. `ModelSettings(max_output=…)` of an agent may be smaller."""
    model_images: bool = False
    """Whether the language model takes images: attached ones are then sent to it, others only described."""
    model_documents: bool = False
    """Whether the language model is sent attached PDF files, which `openai:` and `anthropic:` take; other files are
    only described."""
    builtin_agents: list[str] | None = None
    """The built-in agents to keep, with those that other distributions bring: all unless set; an empty list for
    none."""
    default_agent: str = ""
    """The agent that answers messages which name none; unless set the guide, or without it the first of your own."""
    secret: typed_settings.SecretStr = field(default=typed_settings.SecretStr(""), repr=False)
    """A secret of 32 bytes or more, which signs session tokens; with a `redis_url` the keys for messages between nodes
    are derived from it too, so all nodes need the same secret. A secret with fewer than eight different letters causes
    a warning at the start (`settings.weak_secret`)."""
    accepted_secrets: list[str] = field(factory=list, repr=False)
    """Other secrets whose tokens, and what was sealed with them, are accepted while the secret is replaced."""
    permissions_file: Path | None = None
    """The file of who may use which agents, tools and models, and spend how much, by group; changes count within a
    second."""
    jwks: str = ""
    """A file or an address with the public keys of an identity provider; a path in a settings file is relative to that
    file's folder."""
    jwt_issuer: str = ""
    """The required `iss` of the provider's tokens."""
    jwt_audience: str = ""
    """The required `aud` of the provider's tokens; needed with `jwks`."""
    tenant_claim: str = ""
    """The claim of a token that names the user's tenant; without this setting there are no tenants."""
    local_operator: bool = True
    """Whether a user without a token is an operator, if the socket belongs to a process of the user who runs the
    server; only on a loopback address, without a secret."""
    accounts: bool = False
    """Whether the page's users sign in to accounts of this server, with a password or a passkey, which they set by a
    link of `understudy invite`."""
    oidc_issuer: str = ""
    """The identity provider at which the page's users sign in by OpenID Connect: its `issuer`, letter by letter."""
    oidc_client_id: str = ""
    """This server's name at the provider; needed with `oidc_issuer`."""
    oidc_client_secret: typed_settings.SecretStr = field(default=typed_settings.SecretStr(""), repr=False)
    """This server's secret at the provider; none for a public client."""
    oidc_title: str = ""
    """What users call the provider, on the page's button; the host of `oidc_issuer` unless set."""
    oidc_scopes: list[str] = field(factory=lambda: ["openid", "profile", "email"])
    """What is asked of the provider; some give a refresh token for `offline_access` only."""
    oidc_prompt: str = ""
    """The `prompt` of the request, such as `consent` or `select_account`."""
    oidc_name_claim: str = ""
    """The claim that holds what people call the user; unless set, or without it, `name`, `preferred_username` or
    `email`."""
    oidc_roles_claim: str = "roles"
    """The claim that holds the user's roles; `realm_access.roles` is a member of a claim."""
    oidc_groups_claim: str = "groups"
    """The claim that holds the user's groups."""
    oidc_recheck_s: int = field(default=600, validator=[ge(10), le(86_400)])
    """How often the provider is asked whether and as what a user may stay, 10 to 86400; a user who is removed there is
    signed out within that time."""
    oidc_outage_s: int = field(default=3600, validator=ge(0))
    """How long sessions go on as they were while the provider is away."""
    public_url: str = ""
    """The address by which browsers reach this server, such as `https://chat.example.org` or
    `https://example.org/chat`; needed with `oidc_issuer`, and with `accounts` unless the server has `tls_certificate`,
    except on a loopback address."""
    token_ttl_s: int = field(default=7 * 24 * 3600, validator=gt(0))
    """How long a session token is valid."""
    session_max_s: int = field(default=30 * 24 * 3600, validator=gt(0))
    """How long after signing in a session can be renewed."""
    refresh_grace_s: int | None = field(default=None, validator=optional(ge(0)))
    """How long after its end an anonymous user's token can still be renewed; as long as `token_ttl_s` unless set."""
    allowed_origins: list[str] = field(factory=list)
    """Origins of pages that may use this server, beside its own."""
    trusted_proxies: list[str] = field(factory=list)
    """Addresses or networks of proxies whose `X-Forwarded-For` names the address of a request; only limits per address
    use it."""
    keep_threads_days: float = field(default=0.0, validator=ge(0))
    """How long a thread is kept after its last message; for ever unless set."""
    keep_events_days: float = field(default=0.0, validator=ge(0))
    """How long the events of a run that has ended are kept in the log of its thread; as long as the thread unless
    set."""
    audit_days: float = field(default=0.0, validator=ge(0))
    """How long an entry of the audit log is kept; for ever unless set."""
    max_file_bytes: int = field(default=20 * 1024 * 1024, validator=gt(0))
    """The largest upload."""
    compression_from_bytes: int | None = field(default=None, validator=optional(ge(0)))
    """The size from which text to a client is compressed; not at all unless set; 1024 is a good value where traffic
    costs more than time."""
    limits: Limits = field(factory=Limits)
    scrub_policy: str = "standard"
    """The policy of the content filter: `standard`, `strict`, `off`, or a TOML file."""
    summary_from: int = field(default=1, validator=gt(0))
    """Number of findings (redacted, or possible instructions) from which the user is notified."""
    words_per_s: float = field(default=50.0, validator=gt(0))
    """How fast answers are written without a language model."""
    log_level: str = field(default="info", validator=in_(("debug", "info", "warning", "error")))
    """`debug`, `info`, `warning`, `error`."""
    log_format: str = field(default="auto", validator=in_(("auto", "json", "console")))
    """`json`, `console`, or `auto`: console on a terminal, JSON elsewhere."""
    grace_s: float = field(default=4.0, validator=gt(0))
    """How long the server may take to stop."""
    observer_kill: bool = False
    """Whether operators may kill actors; for tests only."""
    show_costs: bool = True
    """Whether the page shows users what an answer cost; tokens are shown in any case."""
    thread_titles: bool = True
    """Whether language models make the titles of threads."""
    voice_input: bool = False
    """Whether the page offers voice input in browsers that turn speech into text; some send the sound to their
    maker."""
    webhook_urls: list[str] = field(factory=list)
    """Prefixes of the addresses that webhooks may call; none unless set."""
    webhook_secret: typed_settings.SecretStr = field(default=typed_settings.SecretStr(""), repr=False)
    """The secret that signs webhooks, of 32 bytes or more; needed with `webhook_urls`."""
    webhook_private: bool = False
    """Whether the hosts of webhooks may have private addresses."""
    mcp_private: bool = False
    """Whether the authorization servers of MCP servers may have private addresses, and http."""
    widgets_origin: str = ""
    """Another name of this server, such as `https://widgets.example.org`, at which user interfaces of MCP servers are
    shown in frames; empty: they are not shown."""
    otlp_endpoint: str = ""
    """The collector to which traces are sent, such as `http://localhost:4318`; empty: nothing is traced."""
    otlp_headers: list[str] = field(factory=list, repr=False)
    """Headers of the requests to the collector, `NAME=VALUE`, such as a key."""
    trace_ratio: float = field(default=1.0, validator=[ge(0), le(1)])
    """The share of runs that are traced, 0 to 1."""
    trace_content: bool = False
    """Whether spans have the texts of users, models and tools, as they are stored."""
    extensions: list[str] = field(factory=list)
    """The extensions that are on: their names, or `-NAME` for all but these, or `none`; unless set all that have what
    they need installed. `understudy extensions` lists them."""
    prices: PriceTable = field(factory=PriceTable)
    timeouts: Timeouts = field(factory=dict)
    providers: Providers = BUILT_IN
    own: Mapping[type[Any], Any] = field(factory=dict)
    """The settings of extensions by their classes: see `of`."""

    def of(self, kind: type[T]) -> T:
        """Return the settings of an extension, which have this class."""
        own: T = self.own[kind] if kind in self.own else kind()
        return own

    def url_at(self, port: int) -> str:
        """Return the server's URL for a browser, on this port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls_certificate is None else 'https'}://{host}:{port}"

    @property
    def on_postgresql(self) -> bool:
        """Whether `database_url` names a PostgreSQL database."""
        return POSTGRESQL.match(self.database_url) is not None

    @property
    def output_tokens(self) -> int:
        """The longest reply of a model: `model_max_output`, but at most half of its window, which has the input too."""
        return min(self.model_max_output, self.model_window_tokens // 2)

    @property
    def database_folder(self) -> Path:
        """The folder of the SQLite database: the one in `database_url`, or the data folder."""
        if not self.database_url:
            return self.data_dir
        path = Path(self.database_url.removeprefix("sqlite:///"))
        return path.parent if path.name == DATABASE_FILE else path

    @property
    def secret_file(self) -> Path:
        """The file of the secret that the server generates if the settings have none."""
        return self.data_dir / "secret"

    @property
    def anonymous(self) -> bool:
        """Whether users without a token get a session: on a loopback address, without any sign-in or secret."""
        return is_loopback(self.host) and not (self.secret or self.jwks or self.oidc_issuer or self.accounts)

    @property
    def weak_secrets(self) -> list[str]:
        """The settings whose secret is long enough but has so few distinct characters that it can be guessed."""
        distinct = {name: [len(set(each)) for each in _texts(self, name)] for name in ("secret", "accepted_secrets")}
        return [name for name, found in distinct.items() if found and min(found) < MIN_DISTINCT_CHARACTERS]

    @property
    def signs(self) -> bool:
        """Whether the server can sign tokens: with a secret in the settings, or with its own on a loopback address, or
        for its accounts if no other server shares its database."""
        return bool(self.secret) or is_loopback(self.host) or (self.accounts and not self.on_postgresql)

    @property
    def public_path(self) -> str:
        """The path below which browsers reach this server: empty, or such as /chat. A proxy takes it off."""
        return urlsplit(self.public_url).path.rstrip("/")

    @property
    def grace_of_refresh_s(self) -> int:
        """Seconds after its expiry during which an anonymous user's token can still be renewed."""
        return self.token_ttl_s if self.refresh_grace_s is None else self.refresh_grace_s


def load(**given: Any) -> Settings:
    """Read the settings; `given` (None means not given) overrides all other sources.

    Raises:
        BadSettings: A value is of the wrong type or out of range, a setting is unknown, a file cannot be read, or the
            server would be open to others without a secret. The text lists all faults.
    """
    try:
        extension_tables()
    except ExtensionFault as fault:
        raise BadSettings(str(fault)) from fault
    faults: list[str] = []
    found: Found = {}
    tables: dict[str, Any] = {}
    for path in settings_files():
        found |= _read_file(path, faults, tables)
    found |= _read_environment(faults)
    faults += _faults_of_extensions(found)
    settings = None if faults else _structure_if_valid(found)
    if settings is None:
        for name, (value, source) in found.items():
            faults += _explain_faults(name, value, source)
        raise BadSettings("; ".join(faults))
    given = {name: value for name, value in given.items() if value is not None}
    try:
        settings = evolve(settings, **_build_tables(tables), **given)
    except (ValueError, TypeError) as error:
        raise BadSettings("; ".join(_explain_given_faults(given)) or str(error)) from error
    check_settings(settings)
    return settings


@frozen
class DescribedSetting:
    """A setting in force. `value` is None for a secret, `is_set` whether it has another value than the default.

    `source` is a file, the name of a variable, `default`, or `command`: an option, or the call that started the server.
    """

    name: str
    value: Any
    secret: bool
    is_set: bool
    source: str


def describe_settings(settings: Settings) -> list[DescribedSetting]:
    """Describe each setting in force, with its source: the file or variable that has this value now. Reads files."""
    found: Found = {}
    for path in settings_files():
        found |= _read_file(path, [], {})
    found |= _read_environment([])
    loaded, defaults = _structure_if_valid(found), Settings()
    defaults = evolve(defaults, data_dir=defaults.data_dir.absolute())  # as the folder in force is
    described = []
    for name, attribute in _fields().items():
        value, default = _value(settings, name), _value(defaults, name)
        if name in found and loaded is not None and _value(loaded, name) == value:
            source = found[name][1]
        else:
            source = DEFAULT if value == default else COMMAND
        shown = None if not attribute.repr else str(value) if isinstance(value, Path) else value
        described.append(DescribedSetting(name, shown, not attribute.repr, bool(value != default), source))
    return described


def _value(settings: Settings, name: str) -> Any:
    """Return the value of a setting by its dotted name."""
    table, _, member = name.rpartition(".")
    kinds = extension_tables()
    holder: Any = settings.of(kinds[table]) if table in kinds else settings.limits if table else settings
    return getattr(holder, member)


@cache
def extension_tables() -> Mapping[str, type[Any]]:
    """Return the classes of the settings of all extensions that have some, by the extensions' names."""
    kinds = {name: brought(extension.settings) for name, extension in installed().items()}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def settings_files() -> list[Path]:
    """Return the settings files to read: `understudy.toml` of the working folder if it exists, then those of
    `UNDERSTUDY_SETTINGS`."""
    named = [Path(name.removeprefix("!")) for name in os.environ.get(FILES_VARIABLE, "").strip().split(":") if name]
    return [*(path for path in [Path(FILE)] if path.is_file()), *named]


def check_settings(settings: Settings) -> None:
    """Refuse settings that are dangerous or cannot work.

    Raises:
        BadSettings: See `load`.
    """
    try:
        chosen(settings.extensions)
    except ExtensionFault as error:
        raise BadSettings(str(error)) from error
    for faults in (_faults_of_secrets, _faults_of_addresses, _faults_of_sign_in, _faults_of_accounts, _faults_of_parts):
        for fault in faults(settings):
            raise BadSettings(fault)


def _named(name: str) -> str:
    return f"{name} ({variable_of(name)})"


def _texts(settings: Settings, name: str) -> list[str]:
    """Return the text of a setting, or its texts; none if it is not set."""
    value = getattr(settings, name)
    return value if isinstance(value, list) else [str(value)] if value else []


def _faults_of_extensions(found: Found) -> Iterator[str]:
    """Yield a fault for each setting of an extension that is off."""
    names, _ = found.get("extensions", ([], ""))
    with suppress(ExtensionFault):  # `check_settings` tells of it
        on = chosen(names if isinstance(names, list) else [])
        for name, (_, source) in found.items():
            table = name.rpartition(".")[0]
            if table in extension_tables() and table not in on:
                yield f"{name} in {source} has no effect: the extension {table} is off; remove it, or have it on"


def _faults_of_secrets(settings: Settings) -> Iterator[str]:
    if not settings.signs and not settings.jwks:
        yield (
            f"listening on {settings.host} needs a secret, or anybody could sign in as anybody: "
            "set UNDERSTUDY_SECRET to 32 or more random bytes (`openssl rand -hex 32` makes some)"
        )
    for name in ("secret", "accepted_secrets", "webhook_secret"):
        if any(len(each.encode()) < MIN_SECRET_BYTES for each in _texts(settings, name)):
            yield f"{_named(name)} is too short: a secret has {MIN_SECRET_BYTES} bytes or more"
    if settings.accepted_secrets and not settings.signs:
        yield f"{_named('accepted_secrets')} has no effect without secret: this server signs no tokens"


def _is_address(url: str) -> bool:
    return is_fetchable(url) and "?" not in url and "#" not in url


def _is_below_origin(url: str) -> bool:
    found = re.fullmatch(r"(https?://[^/?#]+)(?:/[\w.~-]+)*/?", url)
    return found is not None and is_origin(found[1])


_ADDRESSES: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "allowed_origins": (is_origin, "https://example.org or http://localhost:3000"),
    "widgets_origin": (is_origin, "https://widgets.example.org"),
    "public_url": (_is_below_origin, "https://chat.example.org, or https://example.org/chat"),
    "oidc_issuer": (_is_address, "https://id.example.org"),
    "webhook_urls": (_is_address, "https://hooks.example.org/understudy"),
    "otlp_endpoint": (_is_address, "http://localhost:4318, without /v1/traces"),
}
"""Settings that are addresses: what they must be, and such as."""


def _faults_of_addresses(settings: Settings) -> Iterator[str]:
    for name, (is_right, like) in _ADDRESSES.items():
        for url in _texts(settings, name):
            if not is_right(url):
                yield f"{name} must be an address such as {like}, not {url!r}"
    try:
        if TrustedProxies(settings.trusted_proxies).trusts_everyone:
            yield (
                f"{_named('trusted_proxies')} is every address there is, so anybody could say to come from any other: "
                "name your proxies' addresses or networks"
            )
    except ValueError as error:
        yield f"trusted_proxies must be addresses or networks such as 10.0.0.0/8: {error}"
    if settings.database_url:
        _check_database_url(settings.database_url)
    if settings.redis_url:
        _check_redis_url(settings)


_NEEDS: Final[Mapping[str, str]] = {
    "jwt_issuer": "jwks",
    "jwt_audience": "jwks",
    "oidc_client_id": "oidc_issuer",
    "oidc_client_secret": "oidc_issuer",
    "otlp_headers": "otlp_endpoint",
    "trace_content": "otlp_endpoint",
}
"""Settings that do nothing without another."""


def _faults_of_parts(settings: Settings) -> Iterator[str]:
    """Yield the faults of settings that belong to one part of the server."""
    for name, other in _NEEDS.items():
        if getattr(settings, name) and not getattr(settings, other):
            yield f"{_named(name)} has no effect without {other}"
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        yield "tls_certificate and tls_key belong together: one of them is set, the other is not"
    if bool(settings.webhook_urls) != bool(settings.webhook_secret):
        yield (
            f"webhook_urls and {_named('webhook_secret')} belong together: receivers check by the secret that a "
            "webhook is from this server (`openssl rand -hex 32` makes one)"
        )
    for each in settings.otlp_headers:
        name, separator, value = each.partition("=")
        if not separator or not HEADER_NAME.fullmatch(name.strip()):
            yield "otlp_headers must be like NAME=VALUE, and one of them is not (not shown here)"
        if not (value.isascii() and value.isprintable()):
            yield f"the value of {name.strip()} in otlp_headers has characters that no header may have"


def _faults_of_sign_in(settings: Settings) -> Iterator[str]:
    """Yield the faults of a sign-in by tokens of an identity provider, or at one."""
    if "://" in settings.jwks and not is_fetchable(settings.jwks):
        yield f"{_named('jwks')} must be a file, or an address with http or https and without a user"
    if settings.tenant_claim in RESERVED_CLAIMS:
        yield f"{_named('tenant_claim')} cannot be {settings.tenant_claim}: it has a meaning"
    if settings.jwks and not settings.jwt_audience:
        yield (
            f"jwks needs {_named('jwt_audience')}: an identity provider signs tokens for many applications with the "
            "same keys, and without it a token for any of them would open this server"
        )
    issuer = settings.oidc_issuer
    if not issuer:
        return
    if not issuer.startswith("https:") and not is_loopback(urlsplit(issuer).hostname or ""):
        yield "oidc_issuer must begin with https, or anybody in between could sign in as anybody"
    if not settings.oidc_client_id:
        yield "oidc_issuer needs oidc_client_id: register this server at the provider"
    if "openid" not in settings.oidc_scopes:
        yield "oidc_scopes must hold openid, or the provider does not say who signs in"
    if not settings.signs:
        yield f"oidc_issuer needs {_named('secret')}: the server signs the sessions of its users"
    if not settings.public_url and not is_loopback(settings.host):
        yield (
            f"oidc_issuer needs {_named('public_url')}, such as https://chat.example.org: the provider sends browsers "
            "back there"
        )


def _faults_of_accounts(settings: Settings) -> Iterator[str]:
    if not settings.accounts:
        return
    if settings.oidc_issuer:
        yield (
            "accounts and oidc_issuer are both set: users sign in either with a password or at the provider, or two "
            "people could have one name"
        )
    if settings.tenant_claim:
        yield "accounts have no tenants: leave out tenant_claim, or have an identity provider"
    if not settings.signs:
        yield f"accounts on PostgreSQL need {_named('secret')}, of which all nodes have the same"
    private = settings.tls_certificate is not None or settings.public_url.startswith("https:")
    if not is_loopback(settings.host) and not private:
        yield (
            f"accounts need https, or anybody in between could read passwords: set {_named('public_url')} to the "
            "address of the proxy that speaks TLS, such as https://chat.example.org, or tls_certificate and tls_key"
        )


def _check_database_url(url: str) -> None:
    """Refuse a malformed URL. The message quotes only the scheme, because the rest may hold a password."""
    accepted = f"database_url (UNDERSTUDY_DATABASE_URL) must be {DATABASE_URL_FORMS}"
    if POSTGRESQL.match(url):
        return
    if not url.startswith("sqlite:///"):
        scheme, separator, _ = url.partition("://")
        named = f"it names {scheme!r}, and " if separator else ""
        raise BadSettings(f"{accepted}; {named}only SQLite and PostgreSQL are known")
    path = Path(url.removeprefix("sqlite:///"))
    if not path.name or ":" in path.name or "?" in path.name:
        raise BadSettings(f"{accepted}; {url!r} names no folder")
    if path.name != DATABASE_FILE and (path.is_file() or path.suffix.lower() in {".db", ".db3", ".sqlite", ".sqlite3"}):
        raise BadSettings(f"{accepted}; {path.name!r} is the name of a file, and the file is always {DATABASE_FILE}")


def _check_redis_url(settings: Settings) -> None:
    from understudy.storage.redis_address import parse_redis_address  # most servers have none

    try:
        parse_redis_address(settings.redis_url)
    except ValueError as error:
        raise BadSettings(f"{_named('redis_url')} {error}") from None
    if not settings.on_postgresql:
        raise BadSettings(
            f"{_named('redis_url')} is for several servers over one PostgreSQL: set database_url to "
            "postgresql://USER@HOST/NAME, or leave redis_url out; a server alone needs no Redis"
        )


# Sources of values


def _read_file(path: Path, faults: list[str], tables: dict[str, Any]) -> Found:
    """Read a file. Return its values; the settings that are tables themselves are put into `tables`."""
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        faults.append(f"the settings file {path} cannot be read ({error.strerror})")
        return {}
    except ValueError as error:
        faults.append(f"the settings file {path} is not valid TOML: {error}")
        return {}
    section = read.pop(APP, {})
    faults += [f"unknown section or setting {name} in {path}: all settings belong under [{APP}]" for name in read]
    if not isinstance(section, dict):
        faults.append(f"{APP} in {path} must be a table: [{APP}]")
        return {}
    for name in ("limits", "models", *extension_tables()):
        if isinstance(inner := section.pop(name, {}), dict):
            section |= {f"{name}.{each}": value for each, value in inner.items()}
        else:
            faults.append(f"{name} in {path} must be a table: [{APP}.{name}]")
    tables["currency"] = section.pop("models.currency", tables.get("currency", ""))
    if not isinstance(tables["currency"], str):
        faults.append(f"models.currency in {path} must be a text")
    for name in ROWS:
        rows = tables.setdefault(name, {})
        for row, members in _read_rows(name, section.pop(name, {}), path, faults):
            rows[row] = rows.get(row, {}) | members
    known = _fields()
    faults += [f"unknown setting {name} in {path}{did_you_mean(name, known)}" for name in section if name not in known]
    return {
        name: (_resolve_path(known[name], value, path), str(path)) for name, value in section.items() if name in known
    }


def _read_rows(table: str, given: Any, path: Path, faults: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read one of `ROWS`. Yield each of its tables with its name, unless it has faults."""
    if not isinstance(given, dict):
        faults.append(f'{table} in {path} must be a table of tables: [{APP}.{table}."NAME"]')
        return
    known = {each.name: each for each in attrs.fields(ROWS[table]) if each.name not in ("name", "variables")}
    for name, row in given.items():
        where = f'{table}."{name}"'
        if not isinstance(row, dict):
            faults.append(f"{where} in {path} must be a table of {', '.join(known)}")
            continue
        wrong: list[str] = []
        for each, value in row.items():
            if each not in known:
                wrong.append(f"unknown setting {where}.{each} in {path}{did_you_mean(each, known)}")
            elif not _is_of(known[each], value):
                shown = f"is {value!r}" if known[each].repr else "is not shown here"
                wrong.append(f"{where}.{each} must be {describe_form(known[each])}, but {shown} in {path}")
        needed = (each.name for each in known.values() if each.default is attrs.NOTHING)
        wrong += [f"{where} in {path} needs {each}" for each in needed if each not in row]
        faults += wrong
        if not wrong:
            yield name, row


def _is_of(attribute: "attrs.Attribute[Any]", value: Any) -> bool:
    """Whether a value of a file is one of a member of a table."""
    is_text = _kind_of(attribute) is str
    if _has_wrong_type(attribute, value) or isinstance(value, str) != is_text or value == math.inf:
        return False
    with suppress(ValueError):
        if attribute.validator is not None:
            attribute.validator(None, attribute, value)
        return True
    return False


def _build_tables(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that are tables. Raises ValueError for a provider whose members do not go together."""
    if not tables:  # no file was read
        return {}
    prices = {name: Price(**row) for name, row in tables["models.prices"].items()}
    return {
        "prices": PriceTable(tables["currency"], prices),
        "timeouts": {name: Times(**row) for name, row in tables["models.timeouts"].items()},
        "providers": with_settings(tables["providers"]),
    }


def _resolve_path(attribute: "attrs.Attribute[Any]", value: Any, file: Path) -> Any:
    """Resolve a relative path in a settings file against the file's folder."""
    is_path = Path in (attribute.type, *get_args(attribute.type)) or (
        attribute.name == "jwks" and value and "://" not in str(value)
    )
    is_path |= attribute.name == "scrub_policy" and value not in PRESETS
    return str(file.parent / value) if is_path and isinstance(value, str) else value


def _read_environment(faults: list[str]) -> Found:
    """Read the variables, and the files of secrets that variables name."""
    found: Found = {}
    for name, attribute in _fields().items():
        source = variable_of(name)
        is_list = _kind_of(attribute) is list
        text = None if is_left_out(source) else os.environ.get(source)
        file = None if attribute.repr else file_of(source)
        if file is not None and file[1] == f"{source}_FILE" and text:
            faults.append(f"{source} and {source}_FILE are both set: one of them must go")
        elif file is not None and not text:
            try:
                text, source = read_secret(*file), str(file[0])
            except BadKey as error:
                faults.append(str(error))
        if text is not None:
            # Separated by commas, because an origin contains colons; in a file also by lines.
            parts = text.replace("\n", ",").split(",") if is_list else []
            found[name] = ([each.strip() for each in parts if each.strip()] if is_list else text, source)
    return found


def is_left_out(variable: str) -> bool:
    """Return whether a variable is as if unset: empty, as Compose makes of `${NAME:-}`, or one that a platform made."""
    text = os.environ.get(variable, "-").strip()
    if not text:
        return variable != variable_of("builtin_agents")  # an empty list of these is a choice
    is_link = variable.endswith(("_PORT", "_NAME")) and _OF_LINK.fullmatch(text) is not None
    return is_link or _OF_PLATFORM.fullmatch(variable) is not None


def variable_of(name: str) -> str:
    """Return the environment variable of a setting: for `limits.run_s`, `UNDERSTUDY_LIMITS_RUN_S`."""
    return f"{APP}_{name.replace('.', '_')}".upper()


def unknown_variables() -> dict[str, str]:
    """Return the variables that begin as those of settings and are none, each with the one that is meant, or ""."""
    known = {variable_of(name) for name in _fields()}
    known |= {f"{name}_FILE" for name in known}
    begun = (name for name in os.environ if name.upper().startswith(f"{APP}_".upper()))
    others = (name for name in begun if name not in known and not _NO_SETTING.fullmatch(name))
    unknown = sorted(name for name in others if not is_left_out(name))
    rests = {name.removeprefix(f"{APP}_".upper()): name for name in known}
    near = {name: difflib.get_close_matches(name.upper()[len(APP) + 1 :], rests, 1, 0.8) for name in unknown}
    return {name: rests[found[0]] if found else "" for name, found in near.items()}


def _fields() -> Mapping[str, "attrs.Attribute[Any]"]:
    own = {each.name: each for each in attrs.fields(Settings) if each.name not in TABLES}
    tables: dict[str, type[Any]] = {"limits": Limits, **extension_tables()}
    return own | {f"{name}.{each.name}": each for name, kind in tables.items() for each in attrs.fields(kind)}


def _kind_of(attribute: "attrs.Attribute[Any]") -> Any:
    """Return the type of a setting's values when it is set: `list`, or a plain type."""
    if list[str] in (attribute.type, *get_args(attribute.type)):
        return list
    return next(iter(get_args(attribute.type)), attribute.type)


# Faults of values

_STRUCTURE_ERRORS: Final = (BaseValidationError, ValueError, TypeError)


def _structure_if_valid(found: Found) -> Settings | None:
    """Build the settings if all values are valid, otherwise return None. Checking values one by one takes 0.25 s."""
    with suppress(*_STRUCTURE_ERRORS):  # the caller checks each value alone to name the faulty one
        if not any(_has_wrong_type(_fields()[name], value) for name, (value, _) in found.items()):
            return _structure({name: value for name, (value, _) in found.items()})
    return None


def _has_wrong_type(attribute: "attrs.Attribute[Any]", value: Any) -> bool:
    """Whether the library would silently convert this value to another type."""
    kind = _kind_of(attribute)
    taken: Any = {list: list, bool: bool | str, int: int | str, float: int | float | str}.get(kind, str)
    if not isinstance(value, taken) or (isinstance(value, bool) and kind is not bool):
        return True
    return kind is list and not all(isinstance(each, str) for each in value)


def _explain_faults(name: str, value: Any, source: str) -> Iterator[str]:
    attribute = _fields()[name]
    with suppress(*_STRUCTURE_ERRORS):  # the expected form explains more than the library's message
        if not _has_wrong_type(attribute, value):
            _structure({name: value})
            return
    shown = f"is {value!r}" if attribute.repr else "is not shown here"
    yield f"{name} must be {describe_form(attribute)}, but {shown} in {source}"


def _explain_given_faults(given: Mapping[str, Any]) -> Iterator[str]:
    known = _fields()
    for name, value in given.items():
        if name in known:
            plain = str(value) if isinstance(value, Path) else value
            yield from _explain_faults(name, plain, "the command or the call")
        elif name not in TABLES:
            yield f"there is no setting called {name}"


def _structure(values: Mapping[str, Any]) -> Settings:
    # The default is given, too: the converter makes paths absolute, but leaves a default as it is.
    nested: dict[str, Any] = {"data_dir": attrs.fields(Settings).data_dir.default}
    nested |= {name: value for name, value in values.items() if "." not in name}
    tables: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        table, _, member = name.rpartition(".")
        if table:
            tables.setdefault(table, {})[member] = value
    nested["limits"] = tables.pop("limits", {})
    # Not `load_settings`: it parses this module to find the texts below the fields, for the help of a command line.
    # That takes a tenth of the start.
    with hidden("pydantic"):  # imported only to ask whether settings are models of it: 6 MB
        converter = typed_settings.default_converter()
        kinds = extension_tables()
        own = {kinds[name]: converter.structure(table, kinds[name]) for name, table in tables.items()}
        return evolve(converter.structure(nested, Settings), own=own)


def describe_form(attribute: "attrs.Attribute[Any]") -> str:
    """Describe a setting's expected form, from its type and its validators."""
    bounds: list[str] = []
    choices: tuple[str, ...] = ()
    for validator in _flatten_validators(attribute.validator):
        if (compare := getattr(validator, "compare_op", None)) is not None:
            words = {">=": "at least", ">": "above", "<=": "at most"}[compare]
            bounds.append(f"{words} {validator.bound:g}")
        choices = getattr(validator, "options", choices)
    if choices:
        return f"one of {', '.join(filter(None, choices))}"
    words_of: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    word = (words_of | {list: "a list of texts"}).get(_kind_of(attribute), "a text")
    unit = " of seconds" if attribute.name.endswith("_s") and not attribute.name.endswith("per_s") else ""
    return f"{word}{unit}{', ' if bounds else ''}{' and '.join(bounds)}"


def _flatten_validators(validator: Any) -> Iterator[Any]:
    if inner := getattr(validator, "_validators", None):
        for each in inner:
            yield from _flatten_validators(each)
    elif (wrapped := getattr(validator, "validator", None)) is not None:
        yield from _flatten_validators(wrapped)
    elif validator is not None:
        yield validator
