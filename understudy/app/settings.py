"""Every setting of the server, with its default and unit: from `understudy.toml`, the environment, the command line.

A later source overrides an earlier one: defaults, then the file (and those named by `UNDERSTUDY_SETTINGS`), then
`UNDERSTUDY_*` variables, then options of the command. Each value is checked separately, so that a fault can name the
setting and its source.
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
from attrs import evolve, field, fields, frozen
from attrs.validators import ge, gt, le, optional
from cattrs import BaseValidationError

from transport.auth.fetch import is_fetchable
from transport.auth.forwarded import TrustedProxies
from transport.auth.identity import is_loopback, is_origin
from transport.auth.tokens import MIN_SECRET_BYTES
from understudy.auth.settings import JwtSettings, SessionSettings
from understudy.extension import Extension
from understudy.installed import ExtensionFault, brought, chosen, installed
from understudy.models.keys import BadKey, file_of, read_secret
from understudy.models.prices import Price, PriceTable
from understudy.models.providers import BUILT_IN, ModelProvider, Providers, with_settings
from understudy.models.settings import ModelsSettings
from understudy.models.timeouts import Times
from understudy.observe.hidden import hidden
from understudy.observe.settings import LogSettings
from understudy.storage.limits import Limits
from understudy.suggestion import did_you_mean
from understudy.web.settings import PageSettings, TlsSettings

T = TypeVar("T")
APP: Final = "understudy"
FILE: Final = "understudy.toml"
FILES_VARIABLE: Final = "UNDERSTUDY_SETTINGS"
_NO_SETTING: Final = re.compile("UNDERSTUDY_(?:SETTINGS|TOKEN|RECORD|PAGE_BUNDLE)")
"""Variables of that prefix that are no settings."""
_OF_PLATFORM: Final = re.compile(
    r"UNDERSTUDY_(?:\w+_)?(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_\w+)?)|UNDERSTUDY_ENV_\w+"
)
"""Variables that Kubernetes sets for the services of a namespace, and Docker for a link, if the name of the service or
container begins with `understudy`."""
_OF_LINK: Final = re.compile(r"(?:tcp|udp|sctp)://\S+|/\S+/\S+")
"""Values by which two more such variables are told from settings of the same name: `…_PORT` is an address then, and
`…_NAME` names two containers."""
DATABASE_FILE: Final = "understudy.db"
"""The database's file name. Repeated here because storage takes long to import and most commands do not need it."""
POSTGRESQL: Final = re.compile(r"postgres(?:ql)?://|\s*[a-z_]+\s*=")
"""How an address of libpq begins: a URI, or keywords with values (`host=db dbname=chat`)."""
DATABASE_URL_FORMS: Final = (
    "postgresql://USER@HOST/NAME, sqlite:///FOLDER, sqlite:////ABSOLUTE/FOLDER, "
    f"or either of these two with /{DATABASE_FILE} at its end"
)

RESERVED_CLAIMS: Final = frozenset({"sub", "sid", "exp", "nbf", "iat", "iss", "aud", "roles"})
"""Claims with another meaning, so that none of them can name the tenant."""

MIN_DISTINCT_CHARACTERS: Final = 8
"""Distinct characters below which a secret is reported as weak. 32 random hexadecimal digits have fewer in one case of
a hundred million."""

PRESETS: Final = ("standard", "strict", "off")
"""Named policies for `scrub_policy`. Repeated here because most commands do not need the content filter."""

DEFAULT: Final = "default"
COMMAND: Final = "command"
CALL: Final = "the command or the call"
"""Sources of settings that are in no file and no variable; see `DescribedSetting`."""
TABLES: Final = ("own", "prices", "providers", "timeouts")
"""Settings that are tables of tables in a file; see `ROWS`."""
READABLE: Final = (str, int, float, bool, Path, typed_settings.SecretStr, list[str])
"""Types of settings that can be read from a file and a variable. Each may be None, too."""
ROWS: Final[Mapping[str, Any]] = {"models.prices": Price, "models.timeouts": Times, "providers": ModelProvider}
"""Tables of a file whose members are tables themselves, with the class of a member."""

Found: TypeAlias = dict[str, tuple[Any, str]]
"""Values by the dotted names of their settings, each with the name of its source for error messages."""


class BadSettings(ValueError):
    """A setting is missing or wrong; the text names it and says how to correct it."""


@frozen
class Settings:
    """All settings of a server. Sizes are in bytes, times in seconds unless the name says otherwise."""

    host: str = "127.0.0.1"
    """The address to listen on, `::` for all of IPv6 and IPv4; any but a loopback address needs a secret or a
    `jwt.keys`."""
    port: int = field(default=8002, validator=[ge(0), le(65535)])
    """The port of everything; 0 takes a free one."""
    data_dir: Path = Path("data")
    """The database, the files, and the secret that the server generated for itself; the server sets its mode to 0700
    (files 0600)."""
    database_url: str = field(default="", repr=False)
    """`sqlite:///FOLDER`, the folder of the database, if it is not the data folder (`sqlite:////FOLDER` for an absolute
    path; may also end in `/understudy.db`); or `postgresql://USER@HOST/NAME`, or any other address of libpq."""
    model: str = "offline"
    """`offline`, or `PROVIDER:NAME`, such as `openai:NAME`; several, separated by commas, are a chain."""
    builtin_agents: list[str] | None = None
    """The built-in agents to keep, with those that other distributions bring: all unless set; an empty list for
    none."""
    default_agent: str = ""
    """The agent that answers messages which name none; unless set the guide, or without it the first of your own."""
    secret: typed_settings.SecretStr = field(default=typed_settings.SecretStr(""), repr=False)
    """A secret of 32 bytes or more, which signs session tokens; all nodes need the same; the key of what they keep in
    Redis is derived from it. A secret with fewer than eight different letters causes a warning at the
    start (`settings.weak_secret`)."""
    accepted_secrets: list[str] = field(factory=list, repr=False)
    """Other secrets whose tokens, and what was sealed with them, are accepted while the secret is replaced."""
    tenant_claim: str = ""
    """The claim of a token that names the user's tenant; without this setting there are no tenants."""
    local_operator: bool = True
    """Whether a user without a token is an operator, if the socket belongs to a process of the user who runs the
    server; only on a loopback address, without a secret."""
    public_url: str = ""
    """The address by which browsers reach this server, such as `https://chat.example.org` or
    `https://example.org/chat`; needed with `oidc.issuer`, and with `accounts.enabled` unless the server has
    `tls.certificate`, except on a loopback address."""
    allowed_origins: list[str] = field(factory=list)
    """Origins of pages that may use this server, beside its own."""
    trusted_proxies: list[str] = field(factory=list)
    """Addresses or networks of proxies whose `X-Forwarded-For` names the address of a request; only limits per address
    use it."""
    compression_from_bytes: int | None = field(default=None, validator=optional(ge(0)))
    """The size from which text to a client is compressed; not at all unless set; 1024 is a good value where traffic
    costs more than time."""
    limits: Limits = field(factory=Limits)
    tls: TlsSettings = field(factory=TlsSettings)
    log: LogSettings = field(factory=LogSettings)
    jwt: JwtSettings = field(factory=JwtSettings)
    session: SessionSettings = field(factory=SessionSettings)
    models: ModelsSettings = field(factory=ModelsSettings)
    page: PageSettings = field(factory=PageSettings)
    scrub_policy: str = "standard"
    """The policy of the content filter: `standard`, `strict`, `off`, or a TOML file."""
    summary_from: int = field(default=1, validator=gt(0))
    """Number of findings (redacted, or possible instructions) from which the user is notified."""
    grace_s: float = field(default=4.0, validator=gt(0))
    """How long the server may take to stop."""
    extensions: list[str] = field(factory=list)
    """The extensions that are on: their names, which bring what they require, or `-NAME` for all but these, or `none`;
    unless set all that have what they need installed. `understudy extensions` lists them."""
    providers: Providers = BUILT_IN
    own: Mapping[type[Any], Any] = field(factory=dict)
    """The settings of extensions by their classes: see `of`."""

    def of(self, kind: type[T]) -> T:
        """Return the settings of an extension, which have this class."""
        table: T = self.own[kind] if kind in self.own else kind()
        return table

    def url_at(self, port: int) -> str:
        """Return the server's URL for a browser, on this port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls.certificate is None else 'https'}://{host}:{port}"

    @property
    def on_postgresql(self) -> bool:
        """Whether `database_url` names a PostgreSQL database."""
        return POSTGRESQL.match(self.database_url) is not None

    @property
    def output_tokens(self) -> int:
        """The longest reply of a model: `models.max_output`, but at most half of the window, which has the input."""
        return min(self.models.max_output, self.models.window_tokens // 2)

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
        return is_loopback(self.host) and not (self.secret or self.jwt.keys or self.sign_ins)

    @property
    def sign_ins(self) -> list[Any]:
        """The settings of the extensions by which users sign in: those with a `signs_in` that is true."""
        return [table for table in self.own.values() if getattr(table, "signs_in", False)]

    @property
    def weak_secrets(self) -> list[str]:
        """The settings whose secret is long enough but has so few distinct characters that it can be guessed."""
        distinct = {name: [len(set(text)) for text in _texts(self, name)] for name in ("secret", "accepted_secrets")}
        return [name for name, counts in distinct.items() if counts and min(counts) < MIN_DISTINCT_CHARACTERS]

    @property
    def signs(self) -> bool:
        """Whether the server can sign tokens: with a secret in the settings, or with its own on a loopback address, or
        for a sign-in with `own_secret` if no other server shares its database."""
        own = not self.on_postgresql and any(getattr(sign_in, "own_secret", False) for sign_in in self.sign_ins)
        return bool(self.secret) or is_loopback(self.host) or own

    @property
    def public_path(self) -> str:
        """The path below which browsers reach this server, such as /chat, or "". A proxy removes it from requests."""
        return urlsplit(self.public_url).path.rstrip("/")

    @property
    def grace_of_refresh_s(self) -> int:
        """Seconds after its expiry during which an anonymous user's token can still be renewed."""
        grace_s = self.session.refresh_grace_s
        return self.session.token_ttl_s if grace_s is None else grace_s


def load(**given: Any) -> Settings:
    """Read the settings. `given`, named as in `with_values`, overrides all other sources, except where it is None.

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
    given = _dotted({name: value for name, value in given.items() if value is not None})
    faults += _faults_of_extensions(found | {name: (value, CALL) for name, value in given.items()})
    settings = None if faults else _structure_if_valid(found)
    if settings is None:
        for name, (value, source) in found.items():  # one by one, so that each fault names its source
            faults += _explain_faults(name, value, source)
        raise BadSettings("; ".join(faults))
    try:
        settings = with_values(settings, **_build_tables(tables) | given)
    except (ValueError, TypeError) as error:
        raise BadSettings("; ".join(_explain_given_faults(given)) or str(error)) from error
    check_settings(settings)
    return settings


def with_values(settings: Settings, **given: Any) -> Settings:
    """Return settings with these values. A setting in a table is named `tls.key` or, like its variable, `tls_key`.

    Raises:
        TypeError, ValueError: There is no such setting, or the value is invalid.
    """
    values: dict[str, Any] = {}
    members: dict[str, dict[str, Any]] = {}  # by the names of tables
    for name, value in _dotted(given).items():
        table, _, member = name.rpartition(".")
        if table in setting_tables():
            members.setdefault(table, {})[member] = value
        else:
            values[name] = value
    tables = {**settings.own, **values.pop("own", {})}
    for table, changed in members.items():
        if (kind := extension_tables().get(table)) is None:
            values[table] = evolve(values.get(table, getattr(settings, table)), **changed)
        else:
            tables[kind] = evolve(tables.get(kind, kind()), **changed)
    return evolve(settings, **{"own": tables} | values)


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
    defaults = evolve(defaults, data_dir=defaults.data_dir.absolute())  # like the folder of loaded settings
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
    holder: Any = settings.of(kinds[table]) if table in kinds else getattr(settings, table) if table else settings
    return getattr(holder, member)


@cache
def extension_tables() -> Mapping[str, type[Any]]:
    """Return the classes of the extensions' settings, by the names of their tables.

    Raises:
        ExtensionFault: An extension fails, or two of them have the same table.
    """
    kinds: dict[str, type[Any]] = {}
    for extension in installed().values():
        if (kind := brought(extension.settings)) is not None:
            if (table := table_of(extension)) in kinds or table in attrs.fields_dict(Settings):
                raise ExtensionFault(f"{table} is no name for the settings of {extension.name}: it is taken; rename it")
            for attribute in fields(kind):
                if not any(attribute.type in (kind_of, kind_of | None) for kind_of in READABLE):
                    names = ", ".join(getattr(kind_of, "__name__", str(kind_of)) for kind_of in READABLE)
                    fault = f"{attribute.name} of the settings of {extension.name} is of a type that cannot be read"
                    raise ExtensionFault(f"{fault}, {attribute.type}: make it one of {names}, or None besides")
            kinds[table] = kind
    return kinds


@cache
def setting_tables() -> Mapping[str, type[Any]]:
    """Return the classes of the settings that are tables, those of extensions too, by the names of the tables."""
    kinds = {attribute.name: attribute.type or str for attribute in fields(Settings) if attribute.name not in TABLES}
    tables = {name: kind for name, kind in kinds.items() if attrs.has(kind)}
    return {**tables, **extension_tables()}


def table_of(extension: Extension) -> str:
    """Return the name of the table of an extension's settings."""
    return extension.table or extension.name


def settings_files() -> list[Path]:
    """Return the settings files to read: `understudy.toml` of the working folder if it exists, then those of
    `UNDERSTUDY_SETTINGS`."""
    paths = [Path(name.removeprefix("!")) for name in os.environ.get(FILES_VARIABLE, "").strip().split(":") if name]
    return [*(path for path in [Path(FILE)] if path.is_file()), *paths]


def check_settings(settings: Settings) -> None:
    """Refuse settings that are dangerous or cannot work.

    Raises:
        BadSettings: See `load`.
    """
    try:
        on = chosen(settings.extensions)
        kinds = [kind for extension in on.values() if (kind := brought(extension.settings)) is not None]
    except ExtensionFault as error:
        raise BadSettings(str(error)) from error
    if settings.on_postgresql and "nodes" not in on:
        raise BadSettings(
            "a server on PostgreSQL needs the extension nodes, or a second one could use its database: have it on by "
            "extensions (UNDERSTUDY_EXTENSIONS), or leave out database_url"
        )
    for kind in kinds:
        for fault in getattr(settings.of(kind), "faults", lambda _: ())(settings):
            raise BadSettings(fault)
    for faults in (_faults_of_secrets, _faults_of_addresses, _faults_of_sign_in, _faults_of_parts):
        for fault in faults(settings):
            raise BadSettings(fault)


def _named(name: str) -> str:
    return f"{name} ({variable_of(name)})"


def _texts(settings: Settings, name: str) -> list[str]:
    """Return the text of a setting, or its texts; none if it is not set."""
    value = _value(settings, name)
    return value if isinstance(value, list) else [str(value)] if value else []


def _faults_of_extensions(found: Found) -> Iterator[str]:
    """Yield a fault for each setting of an extension that is off."""
    names, _ = found.get("extensions", ([], ""))
    with suppress(ExtensionFault):  # `check_settings` reports it
        on = chosen(names if isinstance(names, list) else [])
        for name, (_, source) in found.items():
            extension = next((other for other in installed().values() if name.startswith(f"{table_of(other)}.")), None)
            if extension is not None and extension.name not in on:
                off = f"the extension {extension.name} is off"
                yield f"{name} in {source} has no effect: {off}; remove it, or have it on"


def _faults_of_secrets(settings: Settings) -> Iterator[str]:
    if not settings.signs and not settings.jwt.keys:
        yield (
            f"listening on {settings.host} needs a secret, or anybody could sign in as anybody: "
            "set UNDERSTUDY_SECRET to 32 or more random bytes (`openssl rand -hex 32` makes some)"
        )
    for name in ("secret", "accepted_secrets"):
        if any(len(text.encode()) < MIN_SECRET_BYTES for text in _texts(settings, name)):
            yield f"{_named(name)} is too short: a secret has {MIN_SECRET_BYTES} bytes or more"
    if settings.accepted_secrets and not settings.signs:
        yield f"{_named('accepted_secrets')} has no effect without secret: this server signs no tokens"


def _is_below_origin(url: str) -> bool:
    match = re.fullmatch(r"(https?://[^/?#]+)(?:/[\w.~-]+)*/?", url)
    return match is not None and is_origin(match[1])


_ADDRESSES: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "allowed_origins": (is_origin, "https://example.org or http://localhost:3000"),
    "public_url": (_is_below_origin, "https://chat.example.org, or https://example.org/chat"),
}
"""Settings that are addresses, each with its check and examples."""


def _faults_of_addresses(settings: Settings) -> Iterator[str]:
    for name, (is_valid, examples) in _ADDRESSES.items():
        for url in _texts(settings, name):
            if not is_valid(url):
                yield f"{name} must be an address such as {examples}, not {url!r}"
    try:
        if TrustedProxies(settings.trusted_proxies).trusts_everyone:
            yield (
                f"{_named('trusted_proxies')} is every address there is, so anybody could say to come from any other: "
                "name your proxies' addresses or networks"
            )
    except ValueError as error:
        yield f"trusted_proxies must be addresses or networks such as 10.0.0.0/8: {error}"
    if settings.database_url and (fault := _fault_of_database_url(settings.database_url)):
        yield f"database_url (UNDERSTUDY_DATABASE_URL) must be {DATABASE_URL_FORMS}; {fault}"


_NEEDS: Final[Mapping[str, str]] = {
    "jwt.issuer": "jwt.keys",
    "jwt.audience": "jwt.keys",
}
"""Settings that have no effect without another one."""


def _faults_of_parts(settings: Settings) -> Iterator[str]:
    """Yield the faults of settings that belong to one part of the server."""
    for name, other in _NEEDS.items():
        if _value(settings, name) and not _value(settings, other):
            yield f"{_named(name)} has no effect without {other}"
    if (settings.tls.certificate is None) != (settings.tls.key is None):
        yield "tls.certificate and tls.key belong together: one of them is set, the other is not"


def _faults_of_sign_in(settings: Settings) -> Iterator[str]:
    """Yield the faults of a sign-in by tokens of an identity provider."""
    if "://" in settings.jwt.keys and not is_fetchable(settings.jwt.keys):
        yield f"{_named('jwt.keys')} must be a file, or an address with http or https and without a user"
    if settings.tenant_claim in RESERVED_CLAIMS:
        yield f"{_named('tenant_claim')} cannot be {settings.tenant_claim}: it has a meaning"
    if settings.jwt.keys and not settings.jwt.audience:
        yield (
            f"jwt.keys needs {_named('jwt.audience')}: an identity provider signs tokens for many applications with "
            "the same keys, and without it a token for any of them would open this server"
        )


def _fault_of_database_url(url: str) -> str:
    """Return what is wrong with a URL, or "". Of an unknown one only the scheme is quoted: there may be a password."""
    if POSTGRESQL.match(url):
        return ""
    if not url.startswith("sqlite:///"):
        scheme, separator, _ = url.partition("://")
        given = f"it names {scheme!r}, and " if separator else ""
        return f"{given}only SQLite and PostgreSQL are known"
    path = Path(url.removeprefix("sqlite:///"))
    if not path.name or ":" in path.name or "?" in path.name:
        return f"{url!r} names no folder"
    if path.name != DATABASE_FILE and (path.is_file() or path.suffix.lower() in {".db", ".db3", ".sqlite", ".sqlite3"}):
        return f"{path.name!r} is the name of a file, and the file is always {DATABASE_FILE}"
    return ""


# Sources of values


def _read_file(path: Path, faults: list[str], tables: dict[str, Any]) -> Found:
    """Read a file. Return its values; add settings that are tables of tables to `tables`, and faults to `faults`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        faults.append(f"the settings file {path} cannot be read ({error.strerror})")
        return {}
    except ValueError as error:
        faults.append(f"the settings file {path} is not valid TOML: {error}")
        return {}
    section = document.pop(APP, {})
    faults += [f"unknown section or setting {name} in {path}: all settings belong under [{APP}]" for name in document]
    if not isinstance(section, dict):
        faults.append(f"{APP} in {path} must be a table: [{APP}]")
        return {}
    for name in setting_tables():
        if isinstance(inner := section.pop(name, {}), dict):
            section |= {f"{name}.{key}": value for key, value in inner.items()}
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


def _read_rows(table: str, rows: Any, path: Path, faults: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read a table of `ROWS`. Yield the name and members of each row without faults; add others to `faults`."""
    if not isinstance(rows, dict):
        faults.append(f'{table} in {path} must be a table of tables: [{APP}.{table}."NAME"]')
        return
    known = {member.name: member for member in fields(ROWS[table]) if member.name not in ("name", "variables")}
    for name, row in rows.items():
        where = f'{table}."{name}"'
        if not isinstance(row, dict):
            faults.append(f"{where} in {path} must be a table of {', '.join(known)}")
            continue
        row_faults: list[str] = []
        for key, value in row.items():
            if key not in known:
                row_faults.append(f"unknown setting {where}.{key} in {path}{did_you_mean(key, known)}")
            elif not _is_valid(known[key], value):
                shown = f"is {value!r}" if known[key].repr else "is not shown here"
                row_faults.append(f"{where}.{key} must be {describe_form(known[key])}, but {shown} in {path}")
        required = (attribute.name for attribute in known.values() if attribute.default is attrs.NOTHING)
        row_faults += [f"{where} in {path} needs {key}" for key in required if key not in row]
        faults += row_faults
        if not row_faults:
            yield name, row


def _is_valid(attribute: "attrs.Attribute[Any]", value: Any) -> bool:
    """Return whether a value of a file is valid for a member of a row."""
    is_text = _kind_of(attribute) is str
    if _has_wrong_type(attribute, value) or isinstance(value, str) != is_text or value == math.inf:
        return False
    with suppress(ValueError):
        if attribute.validator is not None:
            attribute.validator(None, attribute, value)
        return True
    return False


def _build_tables(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that are tables. Raises ValueError for a provider whose members exclude each other."""
    if not tables:  # no file was read
        return {}
    prices = {name: Price(**row) for name, row in tables["models.prices"].items()}
    return {
        "models.prices": PriceTable(tables["currency"], prices),
        "models.timeouts": {name: Times(**row) for name, row in tables["models.timeouts"].items()},
        "providers": with_settings(tables["providers"]),
    }


def _resolve_path(attribute: "attrs.Attribute[Any]", value: Any, file: Path) -> Any:
    """Resolve a relative path in a settings file against the file's folder."""
    is_path = Path in (attribute.type, *get_args(attribute.type))
    is_path |= attribute.name == "keys" and bool(value) and "://" not in str(value)
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
            # Commas separate texts, because an origin contains colons; in a file line breaks do so, too.
            parts = text.replace("\n", ",").split(",") if is_list else []
            found[name] = ([part.strip() for part in parts if part.strip()] if is_list else text, source)
    return found


def is_left_out(variable: str) -> bool:
    """Return whether a variable counts as unset: it is empty, like Compose's `${NAME:-}`, or set by a platform."""
    text = os.environ.get(variable, "-").strip()
    if not text:
        return variable != variable_of("builtin_agents")  # which may be an empty list on purpose
    is_link = variable.endswith(("_PORT", "_NAME")) and _OF_LINK.fullmatch(text) is not None
    return is_link or _OF_PLATFORM.fullmatch(variable) is not None


def variable_of(name: str) -> str:
    """Return the environment variable of a setting: for `limits.run_s`, `UNDERSTUDY_LIMITS_RUN_S`."""
    return f"{APP}_{name.replace('.', '_')}".upper()


def unknown_variables() -> dict[str, str]:
    """Return the variables with the prefix of settings that are no settings, each with the most similar one, or ""."""
    known = {variable_of(name) for name in _fields()}
    known |= {f"{name}_FILE" for name in known}
    prefixed = (name for name in os.environ if name.upper().startswith(f"{APP}_".upper()))
    others = (name for name in prefixed if name not in known and not _NO_SETTING.fullmatch(name))
    unknown = sorted(name for name in others if not is_left_out(name))
    by_end = {name.removeprefix(f"{APP}_".upper()): name for name in known}
    near = {name: difflib.get_close_matches(name.upper()[len(APP) + 1 :], by_end, 1, 0.8) for name in unknown}
    return {name: by_end[ends[0]] if ends else "" for name, ends in near.items()}


@cache
def _fields() -> Mapping[str, "attrs.Attribute[Any]"]:
    """Return the attributes of all settings by their dotted names, such as `limits.run_s`; without tables of tables."""
    tables: dict[str, type[Any]] = {"": Settings, **setting_tables()}
    return {
        f"{table}.{attribute.name}".lstrip("."): attribute
        for table, kind in tables.items()
        for attribute in fields(kind)
        if attribute.name not in TABLES and (table or attribute.name not in tables)
    }


def _dotted(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the dotted names of their settings; `given` may have the names of variables, as `tls_key`."""
    names = {name.replace(".", "_"): name for name in (*_fields(), *ROWS)}
    return {names.get(name, name): value for name, value in given.items()}


def _kind_of(attribute: "attrs.Attribute[Any]") -> Any:
    """Return the type of a setting's values when it is set: `list` for `list[str]`, `int` for `int | None`."""
    types = (*get_args(attribute.type), attribute.type)
    return list if list[str] in types else types[0]


# Faults of values

_STRUCTURE_ERRORS: Final = (BaseValidationError, ValueError, TypeError)


def _structure_if_valid(found: Found) -> Settings | None:
    """Build the settings if all values are valid, otherwise return None. Checking values one by one takes 0.25 s."""
    with suppress(*_STRUCTURE_ERRORS):  # the caller checks each value alone to name the faulty one
        if not any(_has_wrong_type(_fields()[name], value) for name, (value, _) in found.items()):
            return _structure({name: value for name, (value, _) in found.items()})
    return None


def _has_wrong_type(attribute: "attrs.Attribute[Any]", value: Any) -> bool:
    """Return whether the library would silently convert this value to another type."""
    kind = _kind_of(attribute)
    accepted: Any = {list: list, bool: bool | str, int: int | str, float: int | float | str}.get(kind, str)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        return True
    return kind is list and not all(isinstance(text, str) for text in value)


def _explain_faults(name: str, value: Any, source: str) -> Iterator[str]:
    attribute = _fields()[name]
    with suppress(*_STRUCTURE_ERRORS):  # the expected form explains more than the library's message
        if not _has_wrong_type(attribute, value):
            _structure({name: value})
            return
    shown = f"is {value!r}" if attribute.repr else "is not shown here"
    yield f"{name} must be {describe_form(attribute)}, but {shown} in {source}"


def _explain_given_faults(given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        if name in _fields():
            plain = str(value) if isinstance(value, Path) else value
            yield from _explain_faults(name, plain, CALL)
        elif name not in TABLES and name not in setting_tables():
            yield f"there is no setting called {name}"


def _structure(values: Mapping[str, Any]) -> Settings:
    # The default is passed explicitly, because the converter makes paths absolute, but not a default.
    nested: dict[str, Any] = {"data_dir": fields(Settings).data_dir.default}
    nested |= {name: value for name, value in values.items() if "." not in name}
    tables: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        table, _, member = name.rpartition(".")
        if table:
            tables.setdefault(table, {})[member] = value
    nested |= {name: tables.pop(name, {}) for name in setting_tables() if name not in extension_tables()}
    # `load_settings` is not used: it parses this module for the help of a command line, a tenth of the start's time.
    with hidden("pydantic"):  # it would take 6 MB, only to check whether the settings are models of it
        converter = typed_settings.default_converter()
        kinds = extension_tables()
        own = {kinds[name]: converter.structure(table, kinds[name]) for name, table in tables.items()}
        return evolve(converter.structure(nested, Settings), own=own)


def describe_form(attribute: "attrs.Attribute[Any]") -> str:
    """Describe the values that a setting accepts, by its type and validators."""
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
        for part in inner:
            yield from _flatten_validators(part)
    elif (wrapped := getattr(validator, "validator", None)) is not None:
        yield from _flatten_validators(wrapped)
    elif validator is not None:
        yield validator
