"""The pages with their bundle, as an installed wheel has them.

A browser that loads the chat page of a checkout asks for 170 modules and styles, which takes three times the processor
time of the bundle's five files.
"""

import importlib.util
import shutil
import tempfile
from pathlib import Path

from tests.servers.needed import program

ROOT = Path(__file__).parents[2]


def bundle_page(folder: Path) -> None:
    """Copy the pages with their bundle into an empty folder. Needs npm."""
    program("npm")
    spec = importlib.util.spec_from_file_location("page_build", ROOT / "packaging/page/hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    shutil.copytree(ROOT / "understudy/page", folder, dirs_exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(build.make_bundle(ROOT, Path(scratch)), folder / "bundle")
