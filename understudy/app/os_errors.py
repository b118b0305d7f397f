"""Sentences for errors of the operating system, such as a missing folder or a full disk."""

import os


def explain_os_error(error: Exception) -> str:
    """Return the system's reason, after the file's name if the error has one. Any other error returns its own text."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is None:
        return error.strerror
    return f"{os.fsdecode(error.filename)}: {error.strerror}" if isinstance(error.filename, str | bytes) else str(error)
