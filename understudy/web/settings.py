"""The settings that HTTP and WebSocket endpoints need, as a type: `understudy.app.settings.Settings` is one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from understudy.auth.settings import AuthSettings


class WebSettings(AuthSettings, Protocol):
    """See `understudy.app.settings.Settings` for the meaning, unit and default of each."""

    @property
    def max_file_bytes(self) -> int: ...  # noqa: D102
    @property
    def tls_certificate(self) -> Path | None: ...  # noqa: D102
    @property
    def trusted_proxies(self) -> Sequence[str]: ...  # noqa: D102
