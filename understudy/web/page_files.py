"""The files of the pages, read once, with their compressed forms and caching headers.

1. An installed wheel has a bundle (`page/bundle`, see `packaging/page`). Its HTML refers to files by the hash of their
   content, so browsers cache these for a year without revalidation.
2. In a checkout `make serve` makes a bundle, too, and stores a hash of its sources. If a source has changed since, the
   modules are served instead, which browsers revalidate by their ETag on each use.
3. Files are sent compressed to clients that accept it. A bundle has compressed forms; modules are compressed when read.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import trio
from attrs import evolve, field, frozen

TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "csv": "text/csv; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
}
"""Content types by the endings of names. A file with any other ending is not served."""
CODINGS: Final = {"br": "br", "gzip": "gz"}
"""Content codings by preference, with the endings of the files that hold them in a bundle."""
BUNDLE: Final = "bundle/"
LIBRARIES: Final = "lib/"
"""The folder of third-party libraries that the modules import, built with the bundle."""
MADE_OF: Final = "made-of.txt"
"""The file in a checkout's bundle with the hash of the sources that it was built from."""
SOURCES: Final = {
    "admin.html": "admin/index.html",
    "embed.html": "embed/index.html",
    "join.html": "join/index.html",
    "observer.html": "observer/index.html",
    "share.html": "share/index.html",
}
"""The HTML of pages in a checkout, by the names of the pages in a bundle."""
OTHERS: Final = tuple(source.removesuffix(".html") for source in SOURCES)
"""Pages other than the chat page; its service worker does not cache them."""
INDEX: Final = "index.html"
PARTS: Final = {INDEX: "main.js", "admin.html": "admin.js"}
"""Pages that extensions extend, by their names in a bundle, with the file in `extensions/NAME/` that does so."""
ON_DEMAND: Final = ("more_colours", "chart_worker")
"""Beginnings of the names of libraries that few answers need; the service worker does not cache them."""
WORKER: Final = "worker/worker.js"
WIDGET: Final = "widget.js"
"""The script that pages of other origins load for a chat button."""
REFUSED_WIDGET: Final = "embed/refused.js"
"""The script that a page gets instead of `WIDGET` if its origin is not allowed."""
ICON: Final = "icon.svg"
FOR_EVER: Final = "public, max-age=31536000, immutable"
A_DAY: Final = "public, max-age=86400"
"""For pictures, which one visit requests several times: as the tab's icon and as parts of the page."""
REVALIDATE: Final = "no-cache"
_LEAST_BYTES: Final = 256
"""Bytes of a file from which on it is compressed. Below that it fits into one packet in either form."""


@frozen
class PageFile:
    """One file: its content, type, ETag, `Cache-Control`, and its compressed forms by content coding."""

    body: bytes
    content_type: str
    tag: str
    cache_control: str = REVALIDATE
    forms: Mapping[str, bytes] = field(factory=dict, repr=False)


@frozen
class PageFiles:
    """All files of the pages by their names below `/page/`."""

    files: Mapping[str, PageFile]
    version: str = ""
    """A hash of all files of the chat page; empty before `stamp`."""
    tag: str = ""
    """`version` and a hash of the salt of `stamp`; empty before `stamp`."""

    def stamp(self, salt: str) -> "PageFiles":
        """Return the files with their version and tag. The heads of the pages of `PARTS` name the tag (`page-version`)
        and the extensions that extend the page (`page-extensions`).

        `salt` stands for further parts of the answers, such as the headers that a browser caches with them.
        """
        tags = {**self._shell(), WORKER: self.files[WORKER].tag}
        version = _hash("\n".join(f"{name} {tag}" for name, tag in tags.items()).encode())
        tag = f"{version}-{_hash(salt.encode())}"
        stamped = {
            name: _stamp(self.files[name], {"page-version": tag, "page-extensions": self._extensions_with(part)})
            for page, part in PARTS.items()
            if (name := self._name_of(page)) in self.files
        }
        return PageFiles({**self.files, **stamped}, version, tag)

    def _extensions_with(self, part: str) -> str:
        """Return the names of the extensions that have the file `part`, separated by spaces."""
        matches = (re.fullmatch(rf"extensions/(\w+)/{re.escape(part)}", name) for name in sorted(self.files))
        return " ".join(match[1] for match in matches if match)

    def worker(self) -> PageFile:
        """Return the chat page's service worker, with the list of files to cache. Its ETag is the tag of the files."""
        facts = {"version": self.version, "tag": self.tag, "bundled": self.bundled, "files": self._shell()}
        body = f"const SHELL = {json.dumps(facts)};\n".encode() + self.files[WORKER].body
        return PageFile(body, TYPES["js"], self.tag, forms=_compress(body))

    def _shell(self) -> dict[str, str]:
        """Return the paths of all files that the chat page needs, with their ETags."""
        shell = {"/": self.page(INDEX).tag}
        return shell | {f"/page/{name}": file.tag for name, file in sorted(self.files.items()) if self._in_shell(name)}

    def _in_shell(self, name: str) -> bool:
        """Return whether the chat page may need this file while it is offline."""
        folder = name.partition("/")[0]
        if self.bundled:
            excluded = name.removeprefix(BUNDLE).startswith((*OTHERS, *ON_DEMAND))
            return name == ICON or (folder == "bundle" and not name.endswith(".html") and not excluded)
        excluded = folder in (*OTHERS, "worker") or name == WIDGET or name.removeprefix(LIBRARIES).startswith(ON_DEMAND)
        return not name.endswith(".html") and not excluded

    @property
    def bundled(self) -> bool:
        """Whether the pages are served as a bundle."""
        return BUNDLE + INDEX in self.files

    def page(self, name: str) -> PageFile:
        """Return the HTML of a page by its name in a bundle: `index.html`, `admin.html`, `embed.html`, `join.html`,
        `observer.html` or `share.html`."""
        return self.files[self._name_of(name)]

    def _name_of(self, name: str) -> str:
        return BUNDLE + name if self.bundled else SOURCES.get(name, name)


class Pages:
    """The files of the pages and the worker. The first request reads them in a thread, and the others wait for it.

    `salt`: see `PageFiles.stamp`; `folder`: see `read_page_files`.
    """

    def __init__(self, salt: str, folder: Path | None = None) -> None:
        self._salt = salt
        self._folder = folder
        self._lock = trio.Lock()
        self._files: tuple[PageFiles, PageFile] | None = None

    async def read(self) -> tuple[PageFiles, PageFile]:
        """Return the files and the worker. Raises OSError if they cannot be read."""
        async with self._lock:
            if self._files is None:
                self._files = await trio.to_thread.run_sync(self._read)
            return self._files

    def _read(self) -> tuple[PageFiles, PageFile]:
        return _read_once(self._salt, self._folder)


@lru_cache(maxsize=4)
def _read_once(salt: str, folder: Path | None) -> tuple[PageFiles, PageFile]:
    """Read the files and build the worker, once for all servers in this process. Blocks."""
    files = read_page_files(folder).stamp(salt)
    return files, files.worker()


def read_page_files(folder: Traversable | None = None) -> PageFiles:
    """Read the files of the pages, by default the installed ones. Blocks."""
    root = folder or resources.files("understudy").joinpath("page")
    contents = dict(_contents(root, ""))
    made_of = contents.pop(BUNDLE + MADE_OF, None)
    if made_of is not None and made_of.decode() != _hash_sources(contents):
        contents = {name: body for name, body in contents.items() if not name.startswith(BUNDLE)}
    files = {}
    for name, body in contents.items():
        content_type = TYPES.get(name.rpartition(".")[2])
        if content_type is None:
            continue
        names = {coding: f"{name}.{ending}" for coding, ending in CODINGS.items()}
        forms = {coding: contents[form] for coding, form in names.items() if form in contents}
        files[name] = PageFile(body, content_type, _hash(body), _cache_control(name), forms or _compress(body))
    return PageFiles(files)


def digest_sources(folder: Path) -> str:
    """Return the hash of the pages' sources in a folder, for `MADE_OF`. Blocks."""
    return _hash_sources(dict(_contents(folder, "")))


def _stamp(page: PageFile, values: Mapping[str, str]) -> PageFile:
    """Return a page with these values as `<meta>` elements in its head."""
    metas = "".join(f'<meta name="{name}" content="{content}">\n' for name, content in values.items())
    body = page.body.replace(b"<title>", f"{metas}<title>".encode(), 1)
    return evolve(page, body=body, tag=_hash(body), forms=_compress(body))


def _hash_sources(contents: Mapping[str, bytes]) -> str:
    names = sorted(name for name in contents if not name.startswith((BUNDLE, LIBRARIES)))
    return _hash("\n".join(f"{name} {_hash(contents[name])}" for name in names).encode())


def _hash(body: bytes) -> str:
    """Return a short hash of some content."""
    return hashlib.sha256(body).hexdigest()[:16]


def _cache_control(name: str) -> str:
    """Return the `Cache-Control` of a file."""
    if name.startswith(BUNDLE) and not name.endswith(".html"):
        return FOR_EVER
    return A_DAY if name.endswith(".svg") else REVALIDATE


def _compress(body: bytes) -> dict[str, bytes]:
    """Compress a file. Return the compressed forms by content coding; none of a small file."""
    return {"gzip": gzip.compress(body, mtime=0)} if len(body) >= _LEAST_BYTES else {}


def _contents(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    contents: list[tuple[str, bytes]] = []
    for path in folder.iterdir():
        if path.is_dir():
            contents += _contents(path, f"{prefix}{path.name}/")
        else:
            contents.append((prefix + path.name, path.read_bytes()))
    return contents
