"""Reads keys and other secrets from the environment, a file that it names, or the credentials folder of systemd.

No error of this module contains a secret or a part of one.
"""

import os
import stat
from codecs import BOM_UTF8
from pathlib import Path
from typing import Final

MAX_KEY_BYTES: Final = 16 * 1024
"""Bytes that the file of a key may have. A longer file is refused: it is some other file."""
_OTHERS: Final = stat.S_IRWXO


class BadKey(ValueError):
    """A key cannot be read, or cannot be one. The message names the variable or the file, not the key."""


def read_key(variable: str) -> str:
    """Return the value of the environment variable, else of the file that `file_of` finds; empty without either.

    Raises:
        BadKey: The file cannot be read, or the key has characters that no HTTP header takes.
    """
    if key := os.environ.get(variable, "").strip():
        return _checked(key, variable)
    path = file_of(variable)
    return "" if path is None else _checked(_read_file(*path, "ascii"), f"the file {path[0]}")


def file_of(variable: str) -> tuple[Path, str] | None:
    """Return the file of a secret and the variable that points to it: the file that `variable`_FILE names, else the
    file `variable` in the folder CREDENTIALS_DIRECTORY, if it exists. Return None without either."""
    name, folder = os.environ.get(f"{variable}_FILE", "").strip(), os.environ.get("CREDENTIALS_DIRECTORY", "")
    if name:
        return Path(name), f"{variable}_FILE"
    if folder and (path := Path(folder) / variable).is_file():
        return path, "CREDENTIALS_DIRECTORY"
    return None


def read_secret(path: Path, variable: str) -> str:
    """Return the text of a file that `file_of` found, without surrounding space. All may be allowed to read it only on
    a read-only file system: Docker and Kubernetes mount secrets into a container in that way.

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
    """Return the key, unless it has characters that no HTTP header takes. Raises BadKey with `where` it is from."""
    if not all(33 <= ord(letter) <= 126 for letter in key):
        raise BadKey(f"{where} is no key: it has spaces, line breaks or letters that no key has")
    return key
