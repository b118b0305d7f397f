"""Where a peer runs: in this environment if its library is here, else in one made for it in `.bench` beside `.venv`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from .catalogue import Peer

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".bench"
INSTALL_S = 900.0
"""Longest time for making one environment, in seconds."""


class Missing(Exception):
    """This peer cannot be had on this machine; the text says why."""


def command(peer: Peer) -> list[str]:
    """How to start the peer's process. Makes its environment if need be; raises `Missing`."""
    here = Path(__file__).parent
    if peer.file.endswith(".escript"):
        if shutil.which("escript") is None:
            raise Missing("there is no escript on the PATH")
        return ["escript", str(here / peer.file)]
    python = sys.executable if is_here(peer) else str(environment(peer) / "bin" / "python")
    return [python, "-m", f"{__package__}.{Path(peer.file).stem}"]


def is_here(peer: Peer) -> bool:
    """Whether this very interpreter can run the peer."""
    return peer.package is None or importlib.util.find_spec(peer.package) is not None


def environment(peer: Peer) -> Path:
    """The peer's own environment, made on demand and kept; raises `Missing`."""
    folder = CACHE / str(peer.package)
    made = folder / "made-of.txt"
    wanted = "\n".join(peer.requirements)
    if made.exists() and made.read_text() == wanted:
        return folder
    print(f"peers: making {folder} for {' '.join(peer.requirements)}", file=sys.stderr)
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    run([sys.executable, "-m", "venv", "--clear", str(folder)])
    run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *peer.requirements])
    made.write_text(wanted)
    return folder


def run(arguments: list[str]) -> None:
    """Run a command to its end; raises `Missing` with the last line it wrote when it fails."""
    try:
        subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.CalledProcessError as error:
        lines = [line for line in str(error.stderr).splitlines() if line.startswith("ERROR")]
        raise Missing(lines[-1] if lines else f"{' '.join(arguments[1:4])} failed") from error
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{' '.join(arguments[1:4])} took longer than {INSTALL_S:.0f} s") from error
