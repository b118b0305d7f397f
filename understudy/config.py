"""Every setting of the server, with its default and unit. Read from `understudy.toml`, the environment, the command line.

The later wins: defaults, then the file (or the ones named by `UNDERSTUDY_SETTINGS`), then `UNDERSTUDY_*` variables,
then options of the command.
"""

from pathlib import Path
from typing import Any, Final

import typed_settings
from attrs import evolve, field, frozen
from attrs.validators import ge, gt, in_, le

from transport.auth import MIN_SECRET_BYTES, is_loopback
from transport.limits import Limits

APP: Final = "understudy"
FILE: Final = "understudy.toml"


class BadSettings(ValueError):
    """A setting is missing or wrong; the text says which one and how to mend it."""


@frozen
class Settings:
    """What an operator can decide. Sizes are in bytes, times in seconds unless the name says otherwise."""

    host: str = "127.0.0.1"
    port: int = field(default=8002, validator=[ge(0), le(65535)])
    data_dir: Path = Path("data")
    database_url: str = field(default="", repr=False)
    model: str = "offline"
    secret: typed_settings.SecretStr = field(default=typed_settings.SecretStr(""), repr=False)
    token_ttl_s: int = field(default=7 * 24 * 3600, validator=gt(0))
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
        return Path(self.database_url.partition("://")[2][1:]) if self.database_url else self.data_dir

    @property
    def secret_file(self) -> Path:
        """Where the server keeps the secret it made for itself, when it may."""
        return self.data_dir / "secret"

    @property
    def anonymous(self) -> bool:
        """Whether users without a token are given a session: on a loopback address without a secret of its own."""
        return is_loopback(self.host) and not self.secret


def load(**given: Any) -> Settings:
    """Read the settings; `given` (None means not given) comes last and wins.

    Raises:
        BadSettings: A value is of the wrong type or out of range, a file cannot be read, or the server would be
            open to others without a secret.
    """
    try:
        settings = typed_settings.load(Settings, appname=APP, config_files=[FILE])
        settings = evolve(settings, **{name: value for name, value in given.items() if value is not None})
    except (typed_settings.exceptions.TsError, ValueError, TypeError) as error:
        raise BadSettings("; ".join(_sentences(error))) from error
    check(settings)
    return settings


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
        raise BadSettings(f"UNDERSTUDY_SECRET is too short: it needs {MIN_SECRET_BYTES} bytes or more")
    if settings.database_url and not settings.database_url.startswith("sqlite:///"):
        scheme = settings.database_url.partition(":")[0]
        raise BadSettings(
            f"this version stores in SQLite only (sqlite:///FOLDER); UNDERSTUDY_DATABASE_URL names {scheme!r}"
        )


def _sentences(error: Exception) -> list[str]:
    """Say every single thing that is wrong: the library gives them as a group."""
    if isinstance(error, BaseExceptionGroup):
        return [sentence for each in error.exceptions for sentence in _sentences(each)]
    return [str(error)]
