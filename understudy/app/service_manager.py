"""Notifies the service manager that the server is ready, or stopping: systemd's `Type=notify` (sd_notify(3))."""

import os
import socket
from typing import Final

VARIABLE: Final = "NOTIFY_SOCKET"
"""The variable with the address of the manager's socket, which is in the abstract namespace if it begins with `@`."""
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def notify(state: str) -> None:
    """Send a state to the service manager, if there is one. Errors are ignored: the server does not depend on it."""
    address = os.environ.get(VARIABLE, "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(state.encode(), f"\0{address[1:]}" if address[0] == "@" else address)
        except OSError:
            return
