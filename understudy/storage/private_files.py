"""Files and folders that only the server's own user may read, whatever they were when the server came."""

import logging
import stat
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def keep_private(*paths: Path) -> None:
    """Take away what the group and others may do with these; a path that is not there is passed over.

    Logs `storage.not_private` for one that is somebody else's, and goes on: the system decides then who may read it.
    """
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & OTHERS:
                path.chmod(mode & ~OTHERS)
                log.info("storage.made_private", extra={"path": str(path), "mode": f"{mode:o}"})
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("storage.not_private", extra={"path": str(path), "reason": error.strerror})
