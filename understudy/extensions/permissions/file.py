"""The permissions file: read at the start, and again whenever it changes, so that rules change without a restart.

While a changed file is invalid, or cannot be read, the last valid rules stay in force.
"""

import logging
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from understudy.agents.permissions import Permissions, Rules
from understudy.extensions.permissions.rules import BadRules, check_rules, parse_rules
from understudy.extensions.spending.settings import SpendingSettings
from understudy.extensions.spending.spending_of_run import limit_spending
from understudy.storage.polling import Poller

if TYPE_CHECKING:
    from understudy.web.context import WebContext

log = logging.getLogger(__name__)

POLL_S: Final = 1.0
"""Seconds between two checks whether the file has changed."""
MAX_BYTES: Final = 1024 * 1024
"""Limit of bytes of a permissions file. A larger one is refused."""


@define(eq=False)
class PermissionsFile:
    """The file at `path`; `check` refuses rules that do not fit the server (BadRules)."""

    path: Path
    permissions: Permissions
    check: Callable[[Rules], None]
    _seen: tuple[int, int, int] | None = field(default=None, init=False)

    def read(self) -> Rules:
        """Return the rules of the file. Blocks.

        Raises:
            BadRules: The file cannot be read, or is invalid; the text names the file and all faults.
        """
        rules = self.parse()
        try:
            self.check(rules)
        except BadRules as error:
            raise BadRules(f"the permissions file {self.path} is wrong: {error}") from error
        return rules

    def parse(self) -> Rules:
        """Return the rules of the file without comparing them with the server. Blocks.

        Raises:
            BadRules: The file cannot be read, or is malformed.
        """
        try:
            self._seen = self._stamp()
            if self.path.stat().st_size > MAX_BYTES:
                raise BadRules(f"it is larger than {MAX_BYTES:,} bytes")
            return parse_rules(tomllib.loads(self.path.read_text(encoding="utf-8-sig")))
        except OSError as error:
            raise BadRules(f"the permissions file {self.path} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise BadRules(f"the permissions file {self.path} is wrong: {error}") from error

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return the file's time of change, size and inode, by which a change is detected; None without a file."""
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    async def poll(self) -> None:
        """Apply the rules of the file if it has changed. An invalid file is logged once."""
        if await trio.to_thread.run_sync(self._stamp) == self._seen:
            return
        try:
            self.permissions.rules = await trio.to_thread.run_sync(self.read)
        except BadRules as wrong:
            log.error("permissions.not_read", extra={"reason": str(wrong)})
        else:
            log.info("permissions.read", extra={"file": str(self.path)})


class PermissionsPoller(Poller):
    """Looks for changes of the permissions file."""

    def __init__(self, file: PermissionsFile) -> None:
        self.file = file

    async def poll(self) -> float:
        """Check the file now. Return the seconds until the next check."""
        await self.file.poll()
        return POLL_S


async def open_file(path: Path, server: "WebContext") -> PermissionsFile:
    """Apply the rules of a file. Raises BadRules."""
    services = server.services
    limits, prices = server.settings.of(SpendingSettings), services.models.prices
    check = partial(
        check_rules, agents=server.agents, default_model=services.models.default, limits=limits, prices=prices
    )
    file = PermissionsFile(path, services.permissions, check)
    services.permissions.rules = await trio.to_thread.run_sync(file.read)
    limit_spending(server)  # any change of the file may add budgets
    return file
