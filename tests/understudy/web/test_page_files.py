"""The files of the pages: which form is sent of a checkout, and of a bundle."""

import gzip
import os
import re
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from understudy.web import page_files


def write(folder: Path, **files: bytes) -> Path:
    """Write files; in names, `__` stands for a slash and `_` for a dot."""
    for name, body in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return folder


def test_a_checkout_serves_its_modules_compressed_and_revalidated(tmp_path: Path) -> None:
    write(tmp_path, index_html=b"<p>", views__a_js=b"let a = 1;" * 100, a_exe=b"no", icon_svg=b"<svg/>")
    files = page_files.read_page_files(tmp_path)
    assert set(files.files) == {"index.html", "icon.svg", "views/a.js"}
    assert files.files["icon.svg"].cache_control == page_files.A_DAY
    assert files.page("index.html").body == b"<p>"
    module = files.files["views/a.js"]
    assert module.cache_control == page_files.REVALIDATE
    assert gzip.decompress(module.forms["gzip"]) == module.body
    assert "br" not in module.forms
    assert not files.files["index.html"].forms, "too small to gain anything"


def test_of_a_bundle_hashed_files_are_kept_for_ever_and_html_is_not(tmp_path: Path) -> None:
    write(tmp_path, index_html=b"modules", observer__index_html=b"modules")
    write(tmp_path, bundle__index_html=b"bundle", bundle__observer_html=b"bundle", **{"bundle__index-A1_js": b"code"})
    write(tmp_path, **{"bundle__index-A1_js_br": b"BR", "bundle__index-A1_js_gz": b"GZ"})
    files = page_files.read_page_files(tmp_path)
    assert [files.page(name).body for name in ("index.html", "observer.html")] == [b"bundle"] * 2
    assert files.page("index.html").cache_control == page_files.REVALIDATE
    code = files.files["bundle/index-A1.js"]
    assert code.cache_control == page_files.FOR_EVER
    assert code.forms == {"br": b"BR", "gzip": b"GZ"}
    assert "bundle/index-A1.js.br" not in files.files


def test_a_bundle_of_other_sources_is_not_served(tmp_path: Path) -> None:
    write(tmp_path, index_html=b"modules", main_js=b"let a;", bundle__index_html=b"bundle")
    write(tmp_path, **{"bundle__made-of_txt": page_files.digest_sources(tmp_path).encode()})
    files = page_files.read_page_files(tmp_path)
    assert (files.page("index.html").body, files.bundled) == (b"bundle", True)
    assert "bundle/made-of.txt" not in files.files
    write(tmp_path, main_js=b"let b;")
    files = page_files.read_page_files(tmp_path)
    assert (files.page("index.html").body, files.bundled) == (b"modules", False)
    assert set(files.files) == {"index.html", "main.js"}


@pytest.mark.parametrize("name", ["index.html", "admin.html", "embed.html", "join.html", "observer.html", "share.html"])
def test_the_installed_pages_are_there(name: str) -> None:
    assert b"<!doctype html>" in page_files.read_page_files().page(name).body


def test_the_script_of_the_chat_button_is_small_and_whole() -> None:
    """Sites load it on each page: at most 6,000 bytes, and nothing that it would load in its turn."""
    widget = page_files.read_page_files().files[page_files.WIDGET]
    assert len(widget.forms["gzip"]) <= 6_000
    assert re.findall(rb"^import |\bimport\(", widget.body, re.M) == []


def test_the_chat_page_keeps_nothing_of_the_chat_for_other_sites(tmp_path: Path) -> None:
    files = page_files.read_page_files(write(tmp_path, index_html=b"<title>", worker__worker_js=b"listen();"))
    write(tmp_path, widget_js=b"let a;", embed__main_js=b"let b;", embed__index_html=b"<p>")
    assert page_files.read_page_files(tmp_path).stamp("").version == files.stamp("").version


def test_the_version_is_that_of_the_files_and_the_tag_also_of_the_salt(tmp_path: Path) -> None:
    write(
        tmp_path, index_html=b"<title>", views__a_js=b"let a;", worker__worker_js=b"listen();", observer__b_js=b"let b;"
    )
    files, other = (page_files.read_page_files(tmp_path).stamp(salt) for salt in ("one policy", "another"))
    assert files.version == other.version != ""
    assert files.tag != other.tag
    assert files.tag.startswith(f"{files.version}-")
    assert f'<meta name="page-version" content="{files.tag}">'.encode() in files.page("index.html").body
    assert files.page("index.html").tag != other.page("index.html").tag
    assert files.worker().tag == files.tag
    assert f'"/": "{files.page("index.html").tag}"'.encode() in files.worker().body

    write(tmp_path, observer__b_js=b"let c;")
    assert page_files.read_page_files(tmp_path).stamp("one policy").tag == files.tag, "the chat page does not need it"
    for name in ("views__a_js", "worker__worker_js", "index_html"):
        write(tmp_path, **{name: b"<title> other"})
        assert page_files.read_page_files(tmp_path).stamp("one policy").version not in {files.version, ""}, name


def test_the_pages_name_the_extensions_that_have_a_part_of_them(tmp_path: Path) -> None:
    parts = {"extensions__b__main_js": b"1", "extensions__a__main_js": b"2", "extensions__a__admin_js": b"3"}
    sources = {"index_html": b"<title>", "admin__index_html": b"<title>", "worker__worker_js": b"listen();"}
    write(tmp_path, extensions__c__dialog_js=b"4", **parts, **sources)
    for _ in ("modules", "bundle"):
        files = page_files.read_page_files(tmp_path).stamp("")
        assert b'<meta name="page-extensions" content="a b">\n<title>' in files.page("index.html").body
        assert b'<meta name="page-extensions" content="a">\n<title>' in files.page("admin.html").body
        write(tmp_path, bundle__index_html=b"<title>", bundle__admin_html=b"<title>")
    assert files.bundled


async def test_pages_are_read_once_and_off_the_loop(tmp_path: Path) -> None:
    write(tmp_path, index_html=b"<p>", worker__worker_js=b"let a = 1;" * 100)
    os.mkfifo(tmp_path / "main.js")
    looped = threading.Event()
    in_time: list[bool] = []

    def finish_writing() -> None:
        with (tmp_path / "main.js").open("wb") as pipe:
            in_time.append(looped.wait(5))
            pipe.write(b"let b = 2;")

    pages = page_files.Pages("salt", tmp_path)
    pages_read: list[tuple[page_files.PageFiles, page_files.PageFile]] = []

    async def read() -> None:
        pages_read.append(await pages.read())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, finish_writing)
        nursery.start_soon(read)
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        looped.set()
    assert in_time == [True]
    files, worker = await pages.read()
    assert files.files["main.js"].body == b"let b = 2;"
    assert gzip.decompress(worker.forms["gzip"]) == worker.body
    assert [page is await pages.read() for page in pages_read] == [True, True]
