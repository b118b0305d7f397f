"""Every setting of the server, with its default and unit: from `understudy.toml`, the environment, the command line.

The later wins: defaults, then the file (or the ones named by `UNDERSTUDY_SETTINGS`), then `UNDERSTUDY_*` variables,
then options of the command. Values are judged one by one, so that a fault can say which one it is and where it stands.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args
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
from understudy.agents.agent import BUILTIN
from understudy.chat.hooks.hook import Hooks, read_hooks
from understudy.content.encryption import FILE_PREFIX
from understudy.models.keys import BadKey, file_of, read_secret
from understudy.models.prices import PriceTable, read_prices
from understudy.models.timeouts import Timeouts, read_timeouts
from understudy.observe.hidden import hidden

APP: Final = "understudy"
FILE: Final = "understudy.toml"
FILES_VARIABLE: Final = "UNDERSTUDY_SETTINGS"
_NO_SETTING: Final = re.compile(
    "UNDERSTUDY_(?:(?:SETTINGS|TOKEN|RECORD|PAGE_BUNDLE)$|HOOK_|(?:[A-Z0-9_]+_)?SERVICE_(?:HOST|PORT)|PORT_[0-9])"
)
"""Variables with a meaning elsewhere, and those that Kubernetes makes of a service of this name: their beginnings."""
DATABASE_FILE: Final = "understudy.db"
"""The database's file name. Repeated here because storage takes long to import and most commands do not need it."""
POSTGRESQL: Final = "postgresql://"
REDIS_SCHEMES: Final = ("redis", "rediss")
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
TABLES: Final = ("hooks", "limits", "prices", "timeouts")
"""Settings that are tables of a file."""

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
    path; may also end in `/understudy.db`); or `postgresql://USER@HOST/NAME`."""
    redis_url: str = field(default="", repr=False)
    """`redis://HOST:PORT`: the Redis through which several servers over one PostgreSQL work as one; `rediss://` with
    TLS, `:PASSWORD@` before the host, `/NUMBER` at the end for another of its databases."""
    storage_wait_s: float = field(default=0.0, validator=[ge(0), le(30)])
    """How long a message waits for a database that is away before it is refused, 30 at most; later commands of its
    connection wait too."""
    storage_waiting: int = field(default=100, validator=gt(0))
    """How many messages may wait for a database that is away at a time."""
    model: str = "offline"
    """`offline`, `openai:NAME`, `openai-chat:NAME` or `anthropic:NAME`; several, separated by commas, are a chain."""
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
    builtin_agents: list[str] = field(factory=lambda: list(BUILTIN))
    """The built-in agents to keep; an empty list for none."""
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
    store_raw: bool = False
    """Whether messages are also stored as they were sent, encrypted."""
    raw_key: typed_settings.SecretStr = field(default=typed_settings.SecretStr(""), repr=False)
    """The key with which raw texts are encrypted, of 32 bytes or more."""
    raw_key_file: Path | None = None
    """The file that contains that key, in place of `raw_key`."""
    accepted_raw_keys: list[str] = field(factory=list, repr=False)
    """Other keys whose raw texts are decrypted while the key is replaced; `file:PATH` names a file with one."""
    words_per_s: float = field(default=50.0, validator=gt(0))
    """How fast the offline model writes."""
    log_level: str = field(default="info", validator=in_(("debug", "info", "warning", "error")))
    """`debug`, `info`, `warning`, `error`."""
    log_format: str = field(default="auto", validator=in_(("auto", "json", "console")))
    """`json`, `console`, or `auto`: console on a terminal, JSON elsewhere."""
    log_events: float = field(default=0.0, validator=[ge(0), le(1)])
    """The share of runs, 0 to 1, of which each event is a line `run.event` of the log, at `log_level` `debug`: of a
    sampled run all, so that its delivery can be followed."""
    grace_s: float = field(default=4.0, validator=gt(0))
    """How long the server may take to stop."""
    observer_kill: bool = False
    """Whether operators may kill actors; for tests only."""
    show_costs: bool = True
    """Whether the page shows users what an answer cost; tokens are shown in any case."""
    share_links: bool = False
    """Whether users may make links by which anybody who has one reads a conversation; switched off, no link works."""
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
    web_push_urls: list[str] = field(factory=list)
    """Prefixes of the push services that may be called to notify browsers; any public host with https unless set."""
    web_push_contact: str = ""
    """`mailto:…` or an address with https, for the operators of push services."""
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
    hooks: Hooks = field(factory=dict)
    prices: PriceTable = field(factory=PriceTable)
    timeouts: Timeouts = field(factory=dict)

    def url_at(self, port: int) -> str:
        """Return the server's URL for a browser, on this port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls_certificate is None else 'https'}://{host}:{port}"

    @property
    def on_postgresql(self) -> bool:
        """Whether `database_url` names a PostgreSQL database."""
        return self.database_url.startswith(POSTGRESQL)

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
        accepted = [("accepted_secrets", each) for each in self.accepted_secrets]
        keys = [("accepted_raw_keys", each) for each in self.accepted_raw_keys if not each.startswith(FILE_PREFIX)]
        given = [("secret", str(self.secret)), *accepted, ("raw_key", str(self.raw_key)), *keys]
        weak = [name for name, value in given if value and len(set(value)) < MIN_DISTINCT_CHARACTERS]
        return list(dict.fromkeys(weak))

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
    faults: list[str] = []
    found: Found = {}
    tables: dict[str, Any] = {}
    for path in settings_files():
        found |= _read_file(path, faults, tables)
    found |= _read_environment(faults)
    settings = None if faults else _structure_if_valid(found)
    if settings is None:
        for name, (value, source) in found.items():
            faults += _explain_faults(name, value, source)
        if faults:
            raise BadSettings("; ".join(faults))
        settings = _structure({name: value for name, (value, _) in found.items()})
    try:
        settings = evolve(settings, **tables, **{name: value for name, value in given.items() if value is not None})
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
        value, default = _value_of(settings, name), _value_of(defaults, name)
        if name in found and loaded is not None and _value_of(loaded, name) == value:
            source = found[name][1]
        else:
            source = DEFAULT if value == default else COMMAND
        shown = None if not attribute.repr else str(value) if isinstance(value, Path) else value
        described.append(DescribedSetting(name, shown, not attribute.repr, bool(value != default), source))
    return described


def _value_of(settings: Settings, name: str) -> Any:
    return getattr(settings.limits, name.partition(".")[2]) if "." in name else getattr(settings, name)


def settings_files() -> list[Path]:
    """Return the settings files to read: `understudy.toml` of the working folder if it exists, then those of
    `UNDERSTUDY_SETTINGS`."""
    named = [Path(name.removeprefix("!")) for name in os.environ.get(FILES_VARIABLE, "").split(":") if name]
    return [*(path for path in [Path(FILE)] if path.is_file()), *named]


def check_settings(settings: Settings) -> None:
    """Refuse settings that are dangerous or cannot work.

    Raises:
        BadSettings: See `load`.
    """
    secret = settings.secret
    if not settings.signs and not settings.jwks:
        raise BadSettings(
            f"listening on {settings.host} needs a secret, or anybody could sign in as anybody: "
            "set UNDERSTUDY_SECRET to 32 or more random bytes (`openssl rand -hex 32` makes some)"
        )
    if secret and len(secret.encode()) < MIN_SECRET_BYTES:
        raise BadSettings(f"secret (UNDERSTUDY_SECRET) is too short: it needs {MIN_SECRET_BYTES} bytes or more")
    if any(len(each.encode()) < MIN_SECRET_BYTES for each in settings.accepted_secrets):
        raise BadSettings(
            "one of accepted_secrets (UNDERSTUDY_ACCEPTED_SECRETS) is too short: each was or will be a secret, of "
            f"{MIN_SECRET_BYTES} bytes or more"
        )
    if settings.accepted_secrets and not settings.signs:
        raise BadSettings(
            "accepted_secrets (UNDERSTUDY_ACCEPTED_SECRETS) has no effect without secret: this server signs no tokens"
        )
    _check_provider(settings)
    _check_sign_in(settings)
    _check_accounts(settings)
    for origin in settings.allowed_origins:
        if not is_origin(origin):
            raise BadSettings(
                f"allowed_origins must be like https://example.org or http://localhost:3000, not {origin!r}"
            )
    if settings.widgets_origin and not is_origin(settings.widgets_origin):
        raise BadSettings(f"widgets_origin must be like https://widgets.example.org, not {settings.widgets_origin!r}")
    try:
        proxies = TrustedProxies(settings.trusted_proxies)
    except ValueError as error:
        raise BadSettings(f"trusted_proxies must be addresses or networks such as 10.0.0.0/8: {error}") from error
    if proxies.trusts_everyone:
        raise BadSettings(
            "trusted_proxies (UNDERSTUDY_TRUSTED_PROXIES) is every address there is, so anybody could say to come from "
            "any other: name your proxies' addresses or networks"
        )
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise BadSettings("tls_certificate and tls_key belong together: one of them is set, the other is not")
    if settings.database_url:
        _check_database_url(settings.database_url)
    if settings.redis_url:
        _check_redis_url(settings)
    _check_raw_texts(settings)
    _check_webhooks(settings)
    _check_web_push(settings)
    _check_traces(settings)


def _check_web_push(settings: Settings) -> None:
    for url in settings.web_push_urls:
        if not is_fetchable(url) or "?" in url or "#" in url:
            raise BadSettings(f"web_push_urls must be addresses such as https://fcm.googleapis.com, not {url!r}")
    contact = settings.web_push_contact
    if contact and not (contact.startswith("https://") or ("@" in contact and contact.startswith("mailto:"))):
        raise BadSettings("web_push_contact must be an address such as mailto:ops@example.org or https://example.org")


def _check_traces(settings: Settings) -> None:
    url = settings.otlp_endpoint
    if url and (not is_fetchable(url) or "?" in url or "#" in url):
        raise BadSettings(
            f"otlp_endpoint must be an address such as http://localhost:4318, without /v1/traces, not {url!r}"
        )
    for each in settings.otlp_headers:
        name, separator, value = each.partition("=")
        if not separator or not HEADER_NAME.fullmatch(name.strip()):
            raise BadSettings("otlp_headers must be like NAME=VALUE, and one of them is not (not shown here)")
        if not (value.isascii() and value.isprintable()):
            raise BadSettings(f"the value of {name.strip()} in otlp_headers has characters that no header may have")
    for name in ("otlp_headers", "trace_content"):
        if getattr(settings, name) and not url:
            raise BadSettings(f"{name} (UNDERSTUDY_{name.upper()}) has no effect without otlp_endpoint")


def _check_webhooks(settings: Settings) -> None:
    for url in settings.webhook_urls:
        if not is_fetchable(url) or "?" in url or "#" in url:
            raise BadSettings(
                f"webhook_urls must be addresses such as https://hooks.example.org/understudy, not {url!r}"
            )
    if bool(settings.webhook_urls) != bool(settings.webhook_secret):
        raise BadSettings(
            "webhook_urls and webhook_secret (UNDERSTUDY_WEBHOOK_SECRET) belong together: receivers check by the "
            "secret that a webhook is from this server (`openssl rand -hex 32` makes one)"
        )
    if settings.webhook_secret and len(settings.webhook_secret) < MIN_SECRET_BYTES:
        raise BadSettings(
            f"webhook_secret (UNDERSTUDY_WEBHOOK_SECRET) is too short: it needs {MIN_SECRET_BYTES} bytes or more"
        )


def _check_provider(settings: Settings) -> None:
    if "://" in settings.jwks and not is_fetchable(settings.jwks):
        raise BadSettings("jwks (UNDERSTUDY_JWKS) must be a file, or an address with http or https and without a user")
    if settings.tenant_claim in RESERVED_CLAIMS:
        raise BadSettings(f"tenant_claim (UNDERSTUDY_TENANT_CLAIM) cannot be {settings.tenant_claim}: it has a meaning")
    if settings.jwks and not settings.jwt_audience:
        raise BadSettings(
            "jwks needs jwt_audience (UNDERSTUDY_JWT_AUDIENCE): an identity provider signs tokens for many "
            "applications with the same keys, and without it a token for any of them would open this server"
        )
    for name in ("jwt_issuer", "jwt_audience"):
        if getattr(settings, name) and not settings.jwks:
            raise BadSettings(
                f"{name} (UNDERSTUDY_{name.upper()}) has no effect without jwks: it is for its tokens only"
            )


_ADDRESS: Final = re.compile(r"(https?://[^/?#]+)(?:/[\w.~-]+)*/?")
"""An origin, and a path below it."""


def _check_sign_in(settings: Settings) -> None:
    found = _ADDRESS.fullmatch(settings.public_url)
    if settings.public_url and (found is None or not is_origin(found[1])):
        raise BadSettings(
            "public_url must be like https://chat.example.org, or https://example.org/chat, not "
            f"{settings.public_url!r}"
        )
    if not settings.oidc_issuer:
        for name in ("oidc_client_id", "oidc_client_secret"):
            if getattr(settings, name):
                raise BadSettings(f"{name} (UNDERSTUDY_{name.upper()}) has no effect without oidc_issuer")
        return
    issuer = settings.oidc_issuer
    if not is_fetchable(issuer) or "?" in issuer or "#" in issuer:
        raise BadSettings(f"oidc_issuer must be an address such as https://id.example.org, not {issuer!r}")
    if not issuer.startswith("https:") and not is_loopback(urlsplit(issuer).hostname or ""):
        raise BadSettings("oidc_issuer must begin with https, or anybody in between could sign in as anybody")
    if not settings.oidc_client_id:
        raise BadSettings("oidc_issuer needs oidc_client_id: register this server at the provider")
    if "openid" not in settings.oidc_scopes:
        raise BadSettings("oidc_scopes must hold openid, or the provider does not say who signs in")
    if not settings.signs:
        raise BadSettings("oidc_issuer needs secret (UNDERSTUDY_SECRET): the server signs the sessions of its users")
    if not settings.public_url and not is_loopback(settings.host):
        raise BadSettings(
            "oidc_issuer needs public_url (UNDERSTUDY_PUBLIC_URL), such as https://chat.example.org: the provider "
            "sends browsers back there"
        )


def _check_accounts(settings: Settings) -> None:
    if not settings.accounts:
        return
    if settings.oidc_issuer:
        raise BadSettings(
            "accounts and oidc_issuer are both set: users sign in either with a password or at the provider, or two "
            "people could have one name"
        )
    if settings.tenant_claim:
        raise BadSettings("accounts have no tenants: leave out tenant_claim, or have an identity provider")
    if not settings.signs:
        raise BadSettings("accounts on PostgreSQL need secret (UNDERSTUDY_SECRET), of which all nodes have the same")
    private = settings.tls_certificate is not None or settings.public_url.startswith("https:")
    if not is_loopback(settings.host) and not private:
        raise BadSettings(
            "accounts need https, or anybody in between could read passwords: set public_url (UNDERSTUDY_PUBLIC_URL) "
            "to the address of the proxy that speaks TLS, such as https://chat.example.org, or tls_certificate and "
            "tls_key"
        )


def _check_raw_texts(settings: Settings) -> None:
    if settings.store_raw and not settings.raw_key and settings.raw_key_file is None:
        raise BadSettings(
            "store_raw needs a key, as raw texts are kept encrypted only: set raw_key (UNDERSTUDY_RAW_KEY) or "
            "raw_key_file to 32 or more random bytes (`openssl rand -hex 32` makes some)"
        )
    if settings.raw_key and settings.raw_key_file is not None:
        raise BadSettings("raw_key and raw_key_file are both set: one of them must go")
    if settings.raw_key and len(settings.raw_key.encode()) < MIN_SECRET_BYTES:
        raise BadSettings(f"raw_key (UNDERSTUDY_RAW_KEY) is too short: it needs {MIN_SECRET_BYTES} bytes or more")
    keys = [each for each in settings.accepted_raw_keys if not each.startswith(FILE_PREFIX)]
    if any(len(each.encode()) < MIN_SECRET_BYTES for each in keys):
        raise BadSettings(
            "one of accepted_raw_keys (UNDERSTUDY_ACCEPTED_RAW_KEYS) is too short: each was or will be a raw_key, of "
            f"{MIN_SECRET_BYTES} bytes or more, or names the file of one (file:/etc/understudy/old-raw-key)"
        )
    if settings.accepted_raw_keys and not settings.raw_key and settings.raw_key_file is None:
        raise BadSettings("accepted_raw_keys (UNDERSTUDY_ACCEPTED_RAW_KEYS) has no effect without raw_key")


def _check_database_url(url: str) -> None:
    """Refuse a malformed URL. The message quotes only the scheme, because the rest may hold a password."""
    accepted = f"database_url (UNDERSTUDY_DATABASE_URL) must be {DATABASE_URL_FORMS}"
    if url.startswith(POSTGRESQL):
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
    """Refuse a malformed URL. The message quotes only the scheme, because the rest may hold a password."""
    accepted = "redis_url (UNDERSTUDY_REDIS_URL) must be redis://HOST:PORT or rediss://HOST:PORT (with TLS)"
    scheme, separator, _ = settings.redis_url.partition("://")
    if not separator or scheme not in REDIS_SCHEMES:
        raise BadSettings(f"{accepted}; it begins with {scheme[:20]!r}" if separator else accepted)
    try:
        parts = urlsplit(settings.redis_url)
        whole = bool(parts.hostname) and parts.port != 0 and (parts.path.strip("/") or "0").isdecimal()
    except ValueError:
        whole = False
    if not whole:
        raise BadSettings(f"{accepted}, with /NUMBER at its end for another of its databases than 0")
    if not settings.on_postgresql:
        raise BadSettings(
            "redis_url (UNDERSTUDY_REDIS_URL) is for several servers over one PostgreSQL: set database_url to "
            "postgresql://USER@HOST/NAME, or leave redis_url out; a server alone needs no Redis"
        )


# Sources of values


def _read_file(path: Path, faults: list[str], tables: dict[str, Any]) -> Found:
    """Read a file. Return its values; the settings that are tables themselves are put into `tables`."""
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
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
    if not isinstance(limits := section.pop("limits", {}), dict):
        faults.append(f"limits in {path} must be a table: [{APP}.limits]")
        limits = {}
    if "hooks" in section:
        tables["hooks"], wrong = read_hooks(section.pop("hooks"))
        faults += [f"{each} ({path})" for each in wrong]
    if "models" in section:
        models = section.pop("models")
        if isinstance(models, dict) and "timeouts" in models:
            tables["timeouts"], wrong = read_timeouts(models["timeouts"])
            faults += [f"{each} in {path}" for each in wrong]
            models = {name: value for name, value in models.items() if name != "timeouts"}
        tables["prices"], wrong = read_prices(models)
        faults += [f"{each} in {path}" for each in wrong]
    values = section | {f"limits.{name}": value for name, value in limits.items()}
    known = _fields()
    faults += [f"unknown setting {name} in {path}" for name in values if name not in known]
    return {
        name: (_resolve_path(known[name], value, path), str(path)) for name, value in values.items() if name in known
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
        text = os.environ.get(source)
        file = None if attribute.repr else file_of(source)
        if file is not None and (named := file[1] == f"{source}_FILE") and f"{name}_file" in _fields():
            file = None  # that variable is a setting of its own
        if file is not None and named and text:
            faults.append(f"{source} and {source}_FILE are both set: one of them must go")
        elif file is not None and not text:
            try:
                text, source = read_secret(*file), str(file[0])
            except BadKey as error:
                faults.append(str(error))
        if text is not None:
            # Separated by commas, because an origin contains colons; in a file also by lines.
            is_list = attribute.type == list[str]
            parts = text.replace("\n", ",").split(",") if is_list else []
            found[name] = ([each.strip() for each in parts if each.strip()] if is_list else text, source)
    return found


def variable_of(name: str) -> str:
    """Return the environment variable of a setting: for `limits.run_s`, `UNDERSTUDY_LIMITS_RUN_S`."""
    return f"{APP}_{name.replace('.', '_')}".upper()


def unknown_variables() -> dict[str, str]:
    """Return the variables that begin as those of settings and are none, each with the one that is meant, or ""."""
    known = {variable_of(name) for name in _fields()}
    known |= {f"{name}_FILE" for name in known}
    begun = (name for name in os.environ if name.upper().startswith(f"{APP}_".upper()))
    unknown = sorted(name for name in begun if name not in known and not _NO_SETTING.match(name))
    rests = {name.removeprefix(f"{APP}_".upper()): name for name in known}
    near = {name: difflib.get_close_matches(name.upper()[len(APP) + 1 :], rests, 1, 0.8) for name in unknown}
    return {name: rests[found[0]] if found else "" for name, found in near.items()}


def _fields() -> Mapping[str, "attrs.Attribute[Any]"]:
    own = {each.name: each for each in attrs.fields(Settings) if each.name not in TABLES}
    return own | {f"limits.{each.name}": each for each in attrs.fields(Limits)}


# Faults of values

_STRUCTURE_ERRORS: Final = (BaseValidationError, ValueError, TypeError)


def _structure_if_valid(found: Found) -> Settings | None:
    """Build the settings if all values are valid, otherwise return None. Checking values one by one takes 0.25 s."""
    try:
        if not any(_has_wrong_type(_fields()[name], value) for name, (value, _) in found.items()):
            return _structure({name: value for name, (value, _) in found.items()})
    except _STRUCTURE_ERRORS:
        pass  # the caller checks each value alone to name the faulty one
    return None


def _has_wrong_type(attribute: "attrs.Attribute[Any]", value: Any) -> bool:
    """Whether the library would silently convert this value to another type."""
    kind = next(iter(get_args(attribute.type)), attribute.type) if attribute.type != list[str] else list
    wrong = (kind is list) != isinstance(value, list) or isinstance(value, dict)
    wrong |= not isinstance(value, bool | str) if kind is bool else isinstance(value, bool)
    wrong |= kind is int and isinstance(value, float)
    wrong |= kind not in (int, float, bool, list) and not isinstance(value, str)
    if kind is list and isinstance(value, list):
        wrong |= not all(isinstance(each, str) for each in value)
    return wrong


def _explain_faults(name: str, value: Any, source: str) -> Iterator[str]:
    attribute = _fields()[name]
    try:
        if not _has_wrong_type(attribute, value):
            _structure({name: value})
            return
    except _STRUCTURE_ERRORS:
        pass  # the expected form explains more than the library's message
    shown = f"is {value!r}" if attribute.repr else "is not shown here"
    yield f"{name} must be {describe_form(attribute)}, but {shown} in {source}"


def _explain_given_faults(given: Mapping[str, Any]) -> Iterator[str]:
    known = _fields()
    for name, value in given.items():
        if name in known and value is not None:
            yield from _explain_faults(
                name, str(value) if isinstance(value, Path) else value, "the command or the call"
            )
        elif name not in known and name not in TABLES:
            yield f"there is no setting called {name}"


def _structure(values: Mapping[str, Any]) -> Settings:
    # The default is given, too: the converter makes paths absolute, but leaves a default as it is.
    nested: dict[str, Any] = {"data_dir": attrs.fields(Settings).data_dir.default}
    nested |= {name: value for name, value in values.items() if "." not in name}
    if limits := {name.partition(".")[2]: value for name, value in values.items() if "." in name}:
        nested["limits"] = limits
    # Not `load_settings`: it parses this module to find the texts below the fields, for the help of a command line.
    # That takes a tenth of the start.
    with hidden("pydantic"):  # imported only to ask whether settings are models of it: 6 MB
        return typed_settings.default_converter().structure(nested, Settings)


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
        return f"one of {', '.join(choices)}"
    kind = next(iter(get_args(attribute.type)), attribute.type)
    words_of: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    word = "a list of texts" if attribute.type == list[str] else words_of.get(kind, "a text")
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
