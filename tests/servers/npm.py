"""Packages from npm, installed from a lock file."""

import shutil
import subprocess
from pathlib import Path

from tests.servers.needed import program

INSTALL_S = 120


def install(source: Path, folder: Path) -> Path:
    """Copy a package to a folder, and install there what its lock file names. Return the folder."""
    npm = program("npm", "npm")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules", "dist"), dirs_exist_ok=True)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder
