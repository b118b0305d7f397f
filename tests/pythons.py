"""Runs the whole suite on every other Python that the classifiers name.

python -m tests.pythons FOLDER [VERSION]

Each has an environment of its own in FOLDER. A Python is found on the PATH, or among those of pyenv. One that is
missing is an error: what a classifier claims was tried. Exit code 1 if one is missing, or its tests fail.
"""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
MANIFESTS: Final = (ROOT / "pyproject.toml", *sorted((ROOT / "packaging").glob("*/pyproject.toml")))
"""Of the product, and of the packages beside it."""
CLASSIFIER: Final = "Programming Language :: Python :: 3."


def claimed(manifest: Path) -> list[str]:
    """Return the versions that the classifiers of a package name, such as 3.12."""
    project = tomllib.loads(manifest.read_text(encoding="utf-8"))["project"]
    return [name.rpartition(" ")[2] for name in project["classifiers"] if name.startswith(CLASSIFIER)]


def interpreter(version: str) -> str | None:
    """Return the path of a Python of this version, None without one."""
    command = shutil.which(f"python{version}")
    found = [command] if command is not None else []
    if shutil.which("pyenv") is not None:
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=True).stdout
        for name in listed.split():
            if name.startswith(f"{version}."):
                prefix = subprocess.run(["pyenv", "prefix", name], capture_output=True, text=True, check=True).stdout
                found.append(f"{prefix.strip()}/bin/python")
    tell = "import sys; print(sys.version_info[0], sys.version_info[1], sep='.')"
    for path in found:  # pyenv has a command for each version that it has, which works only where it is chosen
        if subprocess.run([path, "-c", tell], capture_output=True, text=True, check=False).stdout.strip() == version:
            return path
    return None


def main(folder: Path, versions: Sequence[str]) -> int:
    """Run the suite on each of these versions. Return 1 if any fails."""
    failed = []
    for version in versions:
        python = interpreter(version)
        if python is None:
            print(f"Python {version} is named by a classifier, and is not on this machine")
            failed.append(version)
            continue
        print(f"Python {version}", flush=True)
        command = ["make", "test", f"PYTHON={python}", f"VENV={folder / version}", "ARGS=-q"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(version)
    print(f"failed: {', '.join(failed)}" if failed else f"passed: {', '.join(versions)}")
    return 1 if failed else 0


if __name__ == "__main__":
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    others = [version for version in claimed(MANIFESTS[0]) if version != own]
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:] or others))
