"""Every setting of the server, with its default and unit: from `understudy.toml`, the environment, the command line.

The later wins: defaults, then the file (or the ones named by `UNDERSTUDY_SETTINGS`), then `UNDERSTUDY_*` variables,
then options of the command. Values are judged one by one, so that a fault can say which one it is and where it stands.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

import attrs
import typed_settings
from attrs import evolve, field, frozen
from attrs.validators import ge, gt, in_, le, optional
from typed_settings.loaders import DictLoader

from transport.auth import MIN_SECRET_BYTES, is_loopback
from transport.limits import Limits

APP: Final = "understudy"
FILE: Final = "understudy.toml"
FILES_VARIABLE: Final = "UNDERSTUDY_SETTINGS"
DATABASE_FILE: Final = "understudy.db"
"""What storage calls its file; told here too, as storage takes long to import and most commands do not need it."""
DATABASE_URL_FORMS: Final = f"sqlite:///FOLDER, sqlite:////ABSOLUTE/FOLDER, or either with /{DATABASE_FILE} at its end"

Found: TypeAlias = dict[str, tuple[Any, str]]
"""Values by the dotted names of their settings, each with the words that say where it stands."""


class BadSettings(ValueError):
    """A setting is missing or wrong; the text says which one and how to mend it."""


@frozen
class Settings:
    """What an operator can decide. Sizes are in bytes, times in seconds unless the name says otherwise.

    `refresh_grace_s` is how long after its end an anonymous user's token can still be renewed; as long as it was
    valid (`token_ttl_s`) unless set, and 0 for not at all.
    """

    host: str = "127.0.0.1"
    port: int = field(default=8002, validator=[ge(0), le(65535)])
    data_dir: Path = Path("data")
    database_url: str = field(default="", repr=False)
    model: str = "offline"
    secret: typed_settings.SecretStr = field(default=typed_settings.SecretStr(""), repr=False)
    token_ttl_s: int = field(default=7 * 24 * 3600, validator=gt(0))
    refresh_grace_s: int | None = field(default=None, validator=optional(ge(0)))
    allowed_origins: list[str] = field(factory=list)
    max_file_bytes: int = field(default=20 * 1024 * 1024, validator=gt(0))
    limits: Limits = field(factory=Limits)
    summary_from: int = field(default=1, validator=gt(0))
    words_per_s: float = field(default=50.0, validator=gt(0))
    log_level: str = field(default="info", validator=in_(("debug", "info", "warning", "error")))
    log_format: str = field(default="auto", validator=in_(("auto", "json", "console")))
    grace_s: float = field(default=4.0, validator=gt(0))

    def at(self, port: int) -> str:
        """The server's address as a browser takes it, on this port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}"

    @property
    def database_folder(self) -> Path:
        """The folder that holds the database: that of `database_url`, or the data folder."""
        if not self.database_url:
            return self.data_dir
        path = Path(self.database_url.removeprefix("sqlite:///"))
        return path.parent if path.name == DATABASE_FILE else path

    @property
    def secret_file(self) -> Path:
        """Where the server keeps the secret it made for itself, when it may."""
        return self.data_dir / "secret"

    @property
    def anonymous(self) -> bool:
        """Whether users without a token are given a session: on a loopback address without a secret of its own."""
        return is_loopback(self.host) and not self.secret

    @property
    def grace_of_refresh_s(self) -> int:
        """How long after its end an anonymous user's token can still be renewed, in seconds."""
        return self.token_ttl_s if self.refresh_grace_s is None else self.refresh_grace_s


def load(**given: Any) -> Settings:
    """Read the settings; `given` (None means not given) comes last and wins.

    Raises:
        BadSettings: A value is of the wrong type or out of range, a setting is unknown, a file cannot be read, or
            the server would be open to others without a secret. Of several faults all are told.
    """
    faults: list[str] = []
    found: Found = {}
    for path in files():
        found |= _in_file(path, faults)
    found |= _in_environment()
    for name, (value, source) in found.items():
        faults += _faults(name, value, source)
    if faults:
        raise BadSettings("; ".join(faults))
    settings = _built({name: value for name, (value, _) in found.items()})
    try:
        settings = evolve(settings, **{name: value for name, value in given.items() if value is not None})
    except (ValueError, TypeError) as error:
        raise BadSettings("; ".join(_given_faults(given)) or str(error)) from error
    check(settings)
    return settings


def files() -> list[Path]:
    """The settings files that are read: `understudy.toml` of the working folder if it is there, then the named ones."""
    named = [Path(name.removeprefix("!")) for name in os.environ.get(FILES_VARIABLE, "").split(":") if name]
    return [*(path for path in [Path(FILE)] if path.is_file()), *named]


def check(settings: Settings) -> None:
    """Refuse settings that are dangerous or cannot work.

    Raises:
        BadSettings: See `load`.
    """
    secret = settings.secret
    if not secret and not is_loopback(settings.host):
        raise BadSettings(
            f"listening on {settings.host} needs a secret, or anybody could sign in as anybody: "
            "set UNDERSTUDY_SECRET to 32 or more random bytes (`openssl rand -hex 32` makes some)"
        )
    if secret and len(secret.encode()) < MIN_SECRET_BYTES:
        raise BadSettings(f"secret (UNDERSTUDY_SECRET) is too short: it needs {MIN_SECRET_BYTES} bytes or more")
    if settings.database_url:
        _check_database_url(settings.database_url)


def _check_database_url(url: str) -> None:
    """The scheme is all that is shown of a URL for another database: it may hold a password."""
    accepted = f"database_url (UNDERSTUDY_DATABASE_URL) must be {DATABASE_URL_FORMS}"
    if not url.startswith("sqlite:///"):
        raise BadSettings(f"this version stores in SQLite only: {accepted}; it names {url.partition(':')[0]!r}")
    path = Path(url.removeprefix("sqlite:///"))
    if not path.name or ":" in path.name or "?" in path.name:
        raise BadSettings(f"{accepted}; {url!r} names no folder")
    if path.name != DATABASE_FILE and (path.is_file() or path.suffix.lower() in {".db", ".db3", ".sqlite", ".sqlite3"}):
        raise BadSettings(f"{accepted}; {path.name!r} is the name of a file, and the file is always {DATABASE_FILE}")


# Where values stand


def _in_file(path: Path, faults: list[str]) -> Found:
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
    values = section | {f"limits.{name}": value for name, value in limits.items()}
    known = _fields()
    faults += [f"unknown setting {name} in {path}" for name in values if name not in known]
    return {name: (_from_here(known[name], value, path), str(path)) for name, value in values.items() if name in known}


def _from_here(attribute: "attrs.Attribute[Any]", value: Any, file: Path) -> Any:
    """A path in a file is seen from the file's folder."""
    return str(file.parent / value) if attribute.type is Path and isinstance(value, str) else value


def _in_environment() -> Found:
    found: Found = {}
    for name, attribute in _fields().items():
        variable = variable_of(name)
        if (text := os.environ.get(variable)) is not None:
            # Commas, as an origin has colons of its own.
            is_list = attribute.type == list[str]
            found[name] = ([each.strip() for each in text.split(",") if each.strip()] if is_list else text, variable)
    return found


def variable_of(name: str) -> str:
    """The environment variable of a setting: `limits.run_s` is `UNDERSTUDY_LIMITS_RUN_S`."""
    return f"{APP}_{name.replace('.', '_')}".upper()


def _fields() -> Mapping[str, "attrs.Attribute[Any]"]:
    own = {each.name: each for each in attrs.fields(Settings) if each.name != "limits"}
    return own | {f"limits.{each.name}": each for each in attrs.fields(Limits)}


# What is wrong with a value


def _faults(name: str, value: Any, source: str) -> Iterator[str]:
    attribute = _fields()[name]
    kind = next(iter(get_args(attribute.type)), attribute.type) if attribute.type != list[str] else list
    wrong = (kind is list) != isinstance(value, list) or isinstance(value, dict | bool)
    wrong |= kind is int and isinstance(value, float)
    wrong |= kind not in (int, float, list) and not isinstance(value, str)
    if kind is list and isinstance(value, list):
        wrong |= not all(isinstance(each, str) for each in value)
    try:
        if not wrong:
            _built({name: value})
            return
    except (typed_settings.exceptions.TsError, ValueError, TypeError):
        pass  # which form is expected says more than what the library says
    shown = f"is {value!r}" if attribute.repr else "is not shown here"
    yield f"{name} must be {form(attribute)}, but {shown} in {source}"


def _given_faults(given: Mapping[str, Any]) -> Iterator[str]:
    known = _fields()
    for name, value in given.items():
        if name in known and value is not None:
            yield from _faults(name, str(value) if isinstance(value, Path) else value, "the command or the call")
        elif name not in known and name != "limits":
            yield f"there is no setting called {name}"


def _built(values: Mapping[str, Any]) -> Settings:
    nested: dict[str, Any] = {name: value for name, value in values.items() if "." not in name}
    if limits := {name.partition(".")[2]: value for name, value in values.items() if "." in name}:
        nested["limits"] = limits
    return typed_settings.load_settings(Settings, [DictLoader(nested)])


def form(attribute: "attrs.Attribute[Any]") -> str:
    """The expected form of a setting in words, from its type and its validators."""
    bounds: list[str] = []
    choices: tuple[str, ...] = ()
    for validator in _leaves(attribute.validator):
        if (compare := getattr(validator, "compare_op", None)) is not None:
            words = {">=": "at least", ">": "above", "<=": "at most"}[compare]
            bounds.append(f"{words} {validator.bound:g}")
        choices = getattr(validator, "options", choices)
    if choices:
        return f"one of {', '.join(choices)}"
    kind = next(iter(get_args(attribute.type)), attribute.type)
    words_of: dict[Any, str] = {int: "a whole number", float: "a number", Path: "the path of a folder"}
    word = "a list of texts" if attribute.type == list[str] else words_of.get(kind, "a text")
    unit = " of seconds" if attribute.name.endswith("_s") and not attribute.name.endswith("per_s") else ""
    return f"{word}{unit}{', ' if bounds else ''}{' and '.join(bounds)}"


def _leaves(validator: Any) -> Iterator[Any]:
    if inner := getattr(validator, "_validators", None):
        for each in inner:
            yield from _leaves(each)
    elif (wrapped := getattr(validator, "validator", None)) is not None:
        yield from _leaves(wrapped)
    elif validator is not None:
        yield validator
