"""Keys of providers: from the environment, a file that it names, or the credentials folder of systemd.

A key is never in an error of this module, nor is a part of it.
"""

import os
from pathlib import Path
from typing import Final

MAX_KEY_BYTES: Final = 16 * 1024
"""Bytes of a file that may be a key; a longer one is another file."""


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
    named, folder = os.environ.get(f"{variable}_FILE", ""), os.environ.get("CREDENTIALS_DIRECTORY", "")
    if named:
        return _checked(_read_file(Path(named), f"{variable}_FILE"), f"the file {named}")
    if folder and (path := Path(folder) / variable).is_file():
        return _checked(_read_file(path, "CREDENTIALS_DIRECTORY"), f"the file {path}")
    return ""


def _read_file(path: Path, variable: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise BadKey(f"{variable}: the file {path} cannot be read ({error.strerror})") from None
    if len(content) > MAX_KEY_BYTES:
        raise BadKey(f"{variable}: the file {path} has more than {MAX_KEY_BYTES:,} bytes, so it is no key")
    text = content.decode("ascii", "replace").strip()
    if not text:
        raise BadKey(f"{variable}: the file {path} is empty")
    return text


def _checked(key: str, where: str) -> str:
    """Return a key that can be sent in a header of HTTP."""
    if not all(33 <= ord(each) <= 126 for each in key):
        raise BadKey(f"{where} is no key: it has spaces, line breaks or letters that no key has")
    return key
