"""The files of the pages, read once, with their compressed forms and the headers by which browsers keep them.

An installed wheel holds a bundle (`page/bundle`, see `packaging/page`): its HTML names files by the hash of their
content, which browsers keep for a year without asking. `make serve` makes one in a checkout, too. It says of which
sources it was made: if one of them has changed, the modules are served, which are revalidated by their ETag on each
use. Either is sent compressed to those who accept that: a bundle brings its own compressed forms, a module is
compressed as it is read.
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
"""Content types by the endings of names. A file of no such ending is not served."""
CODINGS: Final = {"br": "br", "gzip": "gz"}
"""Content codings by preference, with the endings of the files that hold them in a bundle."""
BUNDLE: Final = "bundle/"
LIBRARIES: Final = "lib/"
"""What the modules import that is not ours, made with the bundle."""
MADE_OF: Final = "made-of.txt"
"""In the bundle of a checkout: the hash of the sources of which it was made."""
SOURCES: Final = {
    "admin.html": "admin/index.html",
    "embed.html": "embed/index.html",
    "join.html": "join/index.html",
    "observer.html": "observer/index.html",
    "share.html": "share/index.html",
}
"""The HTML of pages in a checkout, by the names they have in a bundle."""
OTHERS: Final = tuple(source.removesuffix(".html") for source in SOURCES)
"""Pages beside the chat page, which its worker does not keep."""
INDEX: Final = "index.html"
PARTS: Final = {INDEX: "main.js", "admin.html": "admin.js"}
"""The pages that extensions add to, by the names they have in a bundle: `extensions/NAME/` has this file then."""
ON_DEMAND: Final = ("more_colours", "chart_worker")
"""How the libraries begin that few answers need, which the worker does not keep."""
WORKER: Final = "worker/worker.js"
WIDGET: Final = "widget.js"
"""The script that pages of other origins load for a chat button."""
REFUSED_WIDGET: Final = "embed/refused.js"
"""What a page gets in place of it whose origin is not allowed."""
ICON: Final = "icon.svg"
FOR_EVER: Final = "public, max-age=31536000, immutable"
A_DAY: Final = "public, max-age=86400"
"""For pictures, which one visit asks for several times: as the tab's icon and as parts of the page."""
REVALIDATE: Final = "no-cache"
_LEAST_BYTES: Final = 256
"""Below this a compressed form saves nothing that counts: a packet holds either."""


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
    """`version`, and a hash of what else belongs to the answers; empty before `stamp`."""

    def stamp(self, salt: str) -> "PageFiles":
        """Return the files with their version and tag. The heads of the pages of `PARTS` name the tag (`page-version`)
        and the extensions that have a part of the page (`page-extensions`).

        `salt`: what else belongs to the answers, as the headers that are kept with them.
        """
        kept = {**self._shell(), WORKER: self.files[WORKER].tag}
        version = _hash("\n".join(f"{name} {tag}" for name, tag in kept.items()).encode())
        tag = f"{version}-{_hash(salt.encode())}"
        stamped = {
            place: _stamp(self.files[place], {"page-version": tag, "page-extensions": self._having(part)})
            for page, part in PARTS.items()
            if (place := self._place(page)) in self.files
        }
        return PageFiles({**self.files, **stamped}, version, tag)

    def _having(self, part: str) -> str:
        """Return the names of the extensions that have this file, with spaces between."""
        matches = (re.fullmatch(rf"extensions/(\w+)/{re.escape(part)}", name) for name in sorted(self.files))
        return " ".join(match[1] for match in matches if match)

    def worker(self) -> PageFile:
        """Return the chat page's service worker, with the list of what it keeps. Its ETag is the tag of the files."""
        facts = {"version": self.version, "tag": self.tag, "bundled": self.bundled, "files": self._shell()}
        body = f"const SHELL = {json.dumps(facts)};\n".encode() + self.files[WORKER].body
        return PageFile(body, TYPES["js"], self.tag, forms=_compress(body))

    def _shell(self) -> dict[str, str]:
        """Return the addresses of all that the chat page needs, with their ETags."""
        shell = {"/": self.page(INDEX).tag}
        return shell | {f"/page/{name}": file.tag for name, file in sorted(self.files.items()) if self._of_shell(name)}

    def _of_shell(self, name: str) -> bool:
        """Return whether the chat page may need this file while there is no network."""
        folder = name.partition("/")[0]
        if self.bundled:
            other = name.removeprefix(BUNDLE).startswith((*OTHERS, *ON_DEMAND))
            return name == ICON or (folder == "bundle" and not name.endswith(".html") and not other)
        aside = folder in (*OTHERS, "worker") or name == WIDGET or name.removeprefix(LIBRARIES).startswith(ON_DEMAND)
        return not name.endswith(".html") and not aside

    @property
    def bundled(self) -> bool:
        """Whether the pages are served as a bundle."""
        return BUNDLE + INDEX in self.files

    def page(self, name: str) -> PageFile:
        """Return the HTML of a page by the name it has in a bundle, `index.html`, `admin.html`, `embed.html`,
        `join.html`, `observer.html` or `share.html`."""
        return self.files[self._place(name)]

    def _place(self, name: str) -> str:
        return BUNDLE + name if self.bundled else SOURCES.get(name, name)


class Pages:
    """The files of the pages and the worker, read in a thread by the first who asks. Others wait for that.

    `salt`: see `PageFiles.stamp`; `folder`: see `read_page_files`.
    """

    def __init__(self, salt: str, folder: Path | None = None) -> None:
        self._salt = salt
        self._folder = folder
        self._lock = trio.Lock()
        self._found: tuple[PageFiles, PageFile] | None = None

    async def read(self) -> tuple[PageFiles, PageFile]:
        """Return the files and the worker. Raises OSError if they cannot be read."""
        async with self._lock:
            if self._found is None:
                self._found = await trio.to_thread.run_sync(self._read)
            return self._found

    def _read(self) -> tuple[PageFiles, PageFile]:
        return _read_once(self._salt, self._folder)


@lru_cache(maxsize=4)
def _read_once(salt: str, folder: Path | None) -> tuple[PageFiles, PageFile]:
    """Read the files and build the worker, once for all servers in this process. Blocks."""
    files = read_page_files(folder).stamp(salt)
    return files, files.worker()


def read_page_files(folder: Traversable | None = None) -> PageFiles:
    """Read the files of the pages, by default those that are installed. Blocks."""
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
        forms = {coding: contents.get(f"{name}.{ending}") for coding, ending in CODINGS.items()}
        found_forms = {coding: form for coding, form in forms.items() if form is not None}
        files[name] = PageFile(body, content_type, _hash(body), _cache_control(name), found_forms or _compress(body))
    return PageFiles(files)


def digest_sources(folder: Path) -> str:
    """Return the hash of the sources of the pages in a folder, for `MADE_OF`. Blocks."""
    return _hash_sources(dict(_contents(folder, "")))


def _stamp(page: PageFile, said: Mapping[str, str]) -> PageFile:
    """Return a page whose head says this, as `<meta>` elements."""
    metas = "".join(f'<meta name="{name}" content="{content}">\n' for name, content in said.items())
    body = page.body.replace(b"<title>", f"{metas}<title>".encode(), 1)
    return evolve(page, body=body, tag=_hash(body), forms=_compress(body))


def _hash_sources(contents: Mapping[str, bytes]) -> str:
    names = sorted(name for name in contents if not name.startswith((BUNDLE, LIBRARIES)))
    return _hash("\n".join(f"{name} {_hash(contents[name])}" for name in names).encode())


def _hash(body: bytes) -> str:
    """Return a short hash of a content."""
    return hashlib.sha256(body).hexdigest()[:16]


def _cache_control(name: str) -> str:
    """Return how long browsers may keep a file without asking."""
    if name.startswith(BUNDLE) and not name.endswith(".html"):
        return FOR_EVER
    return A_DAY if name.endswith(".svg") else REVALIDATE


def _compress(body: bytes) -> dict[str, bytes]:
    """Return the compressed forms of a file that brings none, by content coding."""
    return {"gzip": gzip.compress(body, mtime=0)} if len(body) >= _LEAST_BYTES else {}


def _contents(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    contents: list[tuple[str, bytes]] = []
    for path in folder.iterdir():
        if path.is_dir():
            contents += _contents(path, f"{prefix}{path.name}/")
        else:
            contents.append((prefix + path.name, path.read_bytes()))
    return contents
