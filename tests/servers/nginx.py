"""An nginx before servers, as an operator's configuration has it."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.servers.needed import free_port, program

START_S = 30.0
UPGRADE = """
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
"""
"""What the recipe of the documentation sets for every location."""


class Nginx:
    """One on a free port of the loopback address. `http` stands in the block `http`, `server` in that of its server."""

    def __init__(self, folder: Path, server: str, http: str = "") -> None:
        binary = program("nginx")
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "nginx.conf"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        user = "user root;\n" if os.getuid() == 0 else ""  # its workers write below this folder
        settings.write_text(
            f"{user}daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/errors;\n"
            f"events {{ worker_connections 512; }}\nhttp {{\n{temporary}    access_log {folder}/log;\n{http}\n"
            '    map $http_upgrade $connection_upgrade { default upgrade; "" ""; }\n'
            f"    server {{\n        listen 127.0.0.1:{self.port};\n{server}\n    }}\n}}\n"
        )
        command = [binary, "-c", str(settings), "-p", str(folder), "-e", str(folder / "errors")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.stop()
                    raise RuntimeError((folder / "errors").read_text(errors="replace")[-500:]) from None
                time.sleep(0.02)
            else:
                return

    @property
    def address(self) -> str:
        """The address at which it listens."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
