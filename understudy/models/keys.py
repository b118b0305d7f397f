"""Keys and other secrets: from the environment, a file that it names, or the credentials folder of systemd.

A secret is never in an error of this module, nor is a part of it.
"""

import os
import stat
from codecs import BOM_UTF8
from pathlib import Path
from typing import Final

MAX_KEY_BYTES: Final = 16 * 1024
"""Bytes of a file that may be a key; a longer one is another file."""
_OTHERS: Final = stat.S_IRWXO


class BadKey(ValueError):
    """A key cannot be read, or cannot be one. The message names the variable or the file, not the key."""


def read_key(variable: str) -> str:
    """Return the key of this name, empty without one: the variable, else the content of the file that `variable`_FILE
    names, else that of the file of this name in CREDENTIALS_DIRECTORY.

    Raises:
        BadKey: The file cannot be read, or what is found is no text of one line.
    """
    if key := os.environ.get(variable, "").strip():
        return _checked(key, variable)
    path = file_of(variable)
    return "" if path is None else _checked(_read_file(*path, "ascii"), f"the file {path[0]}")


def file_of(variable: str) -> tuple[Path, str] | None:
    """Return the file that `variable`_FILE names, else that of the variable's name in CREDENTIALS_DIRECTORY if it is
    there, with the name of the variable that led there; None without either."""
    named, folder = os.environ.get(f"{variable}_FILE", "").strip(), os.environ.get("CREDENTIALS_DIRECTORY", "")
    if named:
        return Path(named), f"{variable}_FILE"
    if folder and (path := Path(folder) / variable).is_file():
        return path, "CREDENTIALS_DIRECTORY"
    return None


def read_secret(path: Path, variable: str) -> str:
    """Return the text of a file found by `file_of`, without the space around it.

    Others than the owner and the group of the file may read it only on a file system that is mounted read-only, as
    Docker and Kubernetes mount secrets into a container, with modes that all may read.

    Raises:
        BadKey: The file cannot be read, is empty or too large, or others may read it.
    """
    text = _read_file(path, variable, "utf-8")
    if "\N{REPLACEMENT CHARACTER}" in text:
        raise BadKey(f"{variable}: the file {path} is no text in UTF-8; `openssl rand -hex 32` makes a secret that is")
    if path.stat().st_mode & _OTHERS and not os.statvfs(path).f_flag & os.ST_RDONLY:
        raise BadKey(f"{variable}: the file {path} may be read by others than its owner: chmod 600 {path.name}")
    return text


def _read_file(path: Path, variable: str, encoding: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_BYTES + 1).removeprefix(BOM_UTF8)
    except OSError as error:
        raise BadKey(f"{variable}: the file {path} cannot be read ({error.strerror})") from None
    if len(content) > MAX_KEY_BYTES:
        raise BadKey(f"{variable}: the file {path} has more than {MAX_KEY_BYTES:,} bytes, so it is no key")
    text = content.decode(encoding, "replace").strip()
    if not text:
        raise BadKey(f"{variable}: the file {path} is empty")
    return text


def _checked(key: str, where: str) -> str:
    """Return a key that can be sent in a header of HTTP."""
    if not all(33 <= ord(letter) <= 126 for letter in key):
        raise BadKey(f"{where} is no key: it has spaces, line breaks or letters that no key has")
    return key
