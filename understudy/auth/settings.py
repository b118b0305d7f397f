"""The settings that sign-in and sessions need, as a type: `understudy.app.settings.Settings` is one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from transport.connection.limits import Limits


class AuthSettings(Protocol):
    """See `understudy.app.settings.Settings` for the meaning, unit and default of each."""

    @property
    def allowed_origins(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def anonymous(self) -> bool: ...  # noqa: D102
    @property
    def data_dir(self) -> Path: ...  # noqa: D102
    @property
    def grace_of_refresh_s(self) -> int: ...  # noqa: D102
    @property
    def jwks(self) -> str: ...  # noqa: D102
    @property
    def jwt_audience(self) -> str: ...  # noqa: D102
    @property
    def jwt_issuer(self) -> str: ...  # noqa: D102
    @property
    def limits(self) -> Limits: ...  # noqa: D102
    @property
    def secret(self) -> str: ...  # noqa: D102
    @property
    def secret_file(self) -> Path: ...  # noqa: D102
    @property
    def session_max_s(self) -> int: ...  # noqa: D102
    @property
    def signs(self) -> bool: ...  # noqa: D102
    @property
    def tenant_claim(self) -> str: ...  # noqa: D102
    @property
    def token_ttl_s(self) -> int: ...  # noqa: D102
