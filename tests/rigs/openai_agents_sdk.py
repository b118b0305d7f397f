"""The OpenAI Agents SDK for tests. It wants an older `websockets` than the pins, and asks for it only to speak.

So it is installed without what it requires, which stands in this environment, into a folder to be put on `PYTHONPATH`.
"""

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

PACKAGES = ("openai-agents==0.24.0", "griffelib==2.4.1")
FOLDER = Path(__file__).parents[2] / ".pytest_cache" / "-".join(PACKAGES).replace("==", "-")


@cache
def sdk() -> Path:
    """Return the folder with the SDK, which is installed once. Raises CalledProcessError if it cannot be."""
    if not FOLDER.exists():
        FOLDER.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as folder:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*pip, "--target", f"{folder}/sdk", *PACKAGES], check=True, timeout=240)
            try:
                os.rename(f"{folder}/sdk", FOLDER)
            except OSError:  # another run of the tests was first
                if not FOLDER.exists():
                    raise
    return FOLDER
