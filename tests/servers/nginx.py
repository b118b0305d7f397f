"""An nginx before servers, as an operator's configuration has it."""

import os
import signal
import time
from pathlib import Path

from tests.servers.listening import START_S, ListeningProgram
from tests.servers.needed import free_port, program

UPGRADE = """
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
"""
"""What the recipe of the documentation sets for every location."""


class Nginx(ListeningProgram):
    """One on a free port of the loopback address. `http` stands in the block `http`, `server` in that of its server."""

    def __init__(self, folder: Path, server: str, http: str = "") -> None:
        binary = program("nginx")
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "nginx.conf"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        user = "user root;\n" if os.getuid() == 0 else ""  # its workers write below this folder
        settings.write_text(
            f"{user}daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/errors;\n"
            f"events {{ worker_connections 512; }}\nhttp {{\n{temporary}    access_log {folder}/log;\n{http}\n"
            '    map $http_upgrade $connection_upgrade { default upgrade; "" ""; }\n'
            f"    server {{\n        listen 127.0.0.1:{port};\n{server}\n    }}\n}}\n"
        )
        command = [binary, "-c", str(settings), "-p", str(folder), "-e", str(folder / "errors")]
        super().__init__(command, port, folder / "errors")

    def reload(self) -> None:
        """Read the settings again. Return when its workers of before accept no connection any more."""
        master = self.process.pid
        workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + START_S
        while any(_accepts(worker) for worker in workers):
            assert time.monotonic() < deadline, "its workers of before do not end"
            time.sleep(0.01)

    @property
    def address(self) -> str:
        """The address at which it listens."""
        return f"http://127.0.0.1:{self.port}"


def _accepts(worker: str) -> bool:
    """Return whether a process is a worker that still accepts connections: one that does not says so in its title."""
    try:
        return b"shutting down" not in Path(f"/proc/{worker}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False


LOCATIONS = f"""
    location ~ ^/(ws$|api/ws/) {{
        proxy_pass http://chat;{UPGRADE}
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }}
    location / {{
        proxy_pass http://chat;{UPGRADE}
        proxy_set_header Connection "";
    }}
"""
