"""Texts that look like keys of other services."""

SECRET = "ghp_" + "a1B2c3D4" * 4 + "e5F6"


def shows(text: str, secret: str = SECRET) -> bool:
    """Return whether a text shows eight characters in a row of a secret."""
    return any(secret[start : start + 8] in text for start in range(len(secret) - 7))


TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"


KEY = "sk-proj-" + "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z" * 2
