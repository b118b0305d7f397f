"""The server's content policy: a preset, or the operator's file."""

from pathlib import Path

from sanitization import PRESETS, Policy
from sanitization.policy_file import PolicyError, policy_from_toml


class InvalidPolicy(ValueError):
    """The configured policy cannot be loaded; the message names the setting and the reason."""


def load_policy(name: str) -> Policy:
    """Load the policy of the setting `scrub_policy`: a preset's name, or the path of a TOML file.

    Raises:
        InvalidPolicy: There is no such preset or file, or the file is no policy.
    """
    if name in PRESETS:
        return PRESETS[name]
    setting = "scrub_policy (UNDERSTUDY_SCRUB_POLICY)"
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InvalidPolicy(
            f"{setting} must be standard, strict or off, or a file that can be read; {name!r} cannot ({why})"
        ) from error
    try:
        return policy_from_toml(text)
    except PolicyError as error:
        raise InvalidPolicy(f"{setting} names {name}, which is no policy: {error}") from error
