"""The files of the pages: which form is sent of a checkout, and of a bundle."""

import gzip
from pathlib import Path

import pytest

from understudy.web.page_files import FOR_EVER, REVALIDATE, read_page_files


def write(folder: Path, **files: bytes) -> Path:
    """Write files; in names, `__` stands for a slash and `_` for a dot."""
    for name, body in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return folder


def test_a_checkout_serves_its_modules_compressed_and_revalidated(tmp_path: Path) -> None:
    files = read_page_files(write(tmp_path, index_html=b"<p>", views__a_js=b"let a = 1;" * 100, a_exe=b"no"))
    assert set(files.files) == {"index.html", "views/a.js"}
    assert files.page("index.html").body == b"<p>"
    module = files.files["views/a.js"]
    assert module.cache_control == REVALIDATE
    assert gzip.decompress(module.form("gzip") or b"") == module.body
    assert module.form("gzip") is module.form("gzip"), "compressed once"
    assert module.form("br") is None
    assert files.files["index.html"].form("gzip") is None, "too small to gain anything"


def test_of_a_bundle_hashed_files_are_kept_for_ever_and_html_is_not(tmp_path: Path) -> None:
    write(tmp_path, index_html=b"modules", observer__index_html=b"modules")
    write(tmp_path, bundle__index_html=b"bundle", bundle__observer_html=b"bundle", **{"bundle__index-A1_js": b"code"})
    write(tmp_path, **{"bundle__index-A1_js_br": b"BR", "bundle__index-A1_js_gz": b"GZ"})
    files = read_page_files(tmp_path)
    assert [files.page(name).body for name in ("index.html", "observer.html")] == [b"bundle"] * 2
    assert files.page("index.html").cache_control == REVALIDATE
    code = files.files["bundle/index-A1.js"]
    assert code.cache_control == FOR_EVER
    assert (code.form("br"), code.form("gzip")) == (b"BR", b"GZ")
    assert "bundle/index-A1.js.br" not in files.files


@pytest.mark.parametrize("name", ["index.html", "observer.html", "share.html"])
def test_the_installed_pages_are_there(name: str) -> None:
    assert b"<!doctype html>" in read_page_files().page(name).body
