"""Packages from npm, installed from a lock file, and their programs."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import trio

from tests.servers.needed import program

INSTALL_S: Final = 120
START_S: Final = 60.0
KEPT: Final = Path(sys.prefix) / "npm"
"""What lock files name is installed here once, beside the packages of Python: `npm ci` takes 10 s of processor time."""


def install(source: Path, folder: Path) -> Path:
    """Copy a package to a folder, and link there what its lock file names. Return the folder."""
    npm = program("npm")
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules", "dist"), dirs_exist_ok=True)
    kept = KEPT / sha256((source / "package-lock.json").read_bytes()).hexdigest()[:16]
    KEPT.mkdir(exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=KEPT) as scratch:
                whole = Path(scratch) / "whole"
                whole.mkdir()
                for name in ("package.json", "package-lock.json", ".npmrc"):
                    if (source / name).exists():
                        shutil.copy(source / name, whole)
                command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
                done = subprocess.run(
                    command, cwd=whole, capture_output=True, text=True, timeout=INSTALL_S, check=False
                )
                assert done.returncode == 0, done.stderr[-2000:]
                whole.rename(kept)  # only what is whole has this name
    (folder / "node_modules").symlink_to(kept / "node_modules")
    return folder


@asynccontextmanager
async def listening(port: int, *words: str, **environment: str) -> AsyncIterator[trio.Process]:
    """Run a program of node, which listens at the port, during the block."""
    process = await trio.lowlevel.open_process(
        [program("node"), *words],
        env=os.environ | {"PORT": str(port)} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(START_S):
            while True:
                try:
                    await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                    break
                except OSError:
                    assert process.poll() is None, "it has ended"
                    await trio.sleep(0.05)
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
