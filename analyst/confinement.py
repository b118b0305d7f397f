"""Checks how this machine confines the process of a table, by a program that tries to break out (`probe`)."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

import msgspec
import trio
from attrs import frozen

from understudy.sandbox import MIB, Program, run

log: Final = logging.getLogger(__name__)

OUTSIDE: Final = "/etc/passwd"
"""A world-readable file of every system, which a confined process must not be able to read."""
PROBE: Final = Program("analyst.probe", memory=256 * MIB, address_space=1024 * MIB)
LIMIT_S: Final = 10.0
"""Seconds after which a probe that has not ended counts as failed."""


@frozen
class ConfinementReport:
    """The confinement of processes on this machine, and the probe's attempts that succeeded despite it."""

    no_new_privileges: bool = False
    files: bool = False
    calls: bool = False
    read: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    processes: bool = False
    programs: bool = False
    signals: bool = False
    environment: tuple[str, ...] = ()

    @property
    def missing(self) -> str:
        """Missing kinds of confinement, as text for an operator; empty if none is missing."""
        files = self.files and not (self.read or self.made)
        calls = self.calls and self.no_new_privileges and not (self.sockets or self.processes or self.signals)
        return " and ".join(
            [
                *([] if files else ["Landlock, which keeps them from other files"]),
                *([] if calls else ["seccomp, which keeps them from the network and other programs"]),
            ]
        )


async def probe(files: Sequence[str] = (OUTSIDE,), made: Sequence[str] = ()) -> ConfinementReport:
    """Start a process that tries to break out, and report its confinement. A failed probe counts as unconfined.

    The process tries to read `files`, to make `made` and to signal this process.
    """
    attempts = {"files": files, "made": made, "program": sys.executable, "process": os.getpid()}
    ended = None
    with trio.move_on_after(LIMIT_S):
        ended = await run(PROBE, msgspec.json.encode(attempts), cpu_s=5)
    try:
        return msgspec.json.decode(ended.stdout if ended else b"", type=ConfinementReport)
    except msgspec.MsgspecError:
        reason = ended.stderr.decode(errors="replace")[-500:] if ended else "too slow"
        log.warning("table.probe_failed", extra={"reason": reason})
        return ConfinementReport()


probed: Final[list[bool]] = []
"""Not empty once `warn_if_open` has probed in this Python process; the kernel does not change meanwhile."""


async def warn_if_open() -> None:
    """Log a warning if this machine does not confine the processes of tables; at the first call only.

    The caller must hold a permit for a process.
    """
    if probed:
        return
    probed.append(True)  # before the probe, so that a concurrent call does not probe too
    try:
        report = await probe()
    except trio.Cancelled:
        probed.clear()
        raise
    if report.missing:
        log.warning("table.not_confined", extra={"missing": report.missing})
