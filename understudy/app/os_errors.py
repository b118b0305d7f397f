"""What the system refuses, such as a folder or a full disk, in the words of a sentence."""

import os


def explain_os_error(error: Exception) -> str:
    """What is amiss, and with what; of errors that have words of their own, these."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.filename is None:
        return error.strerror
    return f"{os.fsdecode(error.filename)}: {error.strerror}" if isinstance(error.filename, str | bytes) else str(error)
