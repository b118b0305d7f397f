"""An installed wheel of understudy, built of this checkout for the figures: its page is a bundle if npm is here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD_S: Final = 300


@contextmanager
def installed_wheel() -> Iterator[Mapping[str, str]]:
    """Build and unpack the wheel. Yield the environment in which `python -m understudy` is that of the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if importlib.util.find_spec("hatchling") is not None:
            command += ["--no-index", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", folder, str(ROOT)], check=True, timeout=BUILD_S)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(Path(folder) / "site")
        if not (Path(folder) / "site" / "understudy" / "page" / "bundle").exists():
            print("page: without npm the wheel has no bundle: these are figures of modules", file=sys.stderr)
        yield {"PYTHONPATH": str(Path(folder) / "site"), "PYTHONSAFEPATH": "1"}
