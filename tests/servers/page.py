"""The pages, as an installed wheel has them and as their modules.

A browser that loads the chat page as modules asks for 120 of them and of styles, which takes three times the processor
time of the bundle's five files.
"""

import runpy
import shutil
import tempfile
from pathlib import Path

from tests.servers.needed import program

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "understudy/page"


def bundle_page(folder: Path) -> None:
    """Copy the pages with a bundle made of them, and with their libraries, into an empty folder. Needs npm."""
    program("npm")
    shutil.copytree(PAGE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("bundle", "lib"))
    with tempfile.TemporaryDirectory() as scratch:
        make_bundle = runpy.run_path(str(ROOT / "packaging/page/bundle_page.py"))["make_bundle"]
        shutil.copytree(make_bundle(ROOT, Path(scratch)), folder, dirs_exist_ok=True)


def page_modules(folder: Path) -> None:
    """Copy the pages and their libraries, without a bundle, into an empty folder. Needs npm."""
    bundle_page(folder)
    shutil.rmtree(folder / "bundle")
