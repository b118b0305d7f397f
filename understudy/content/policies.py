"""The policy a server scrubs by: one of the presets, or a file of the operator's."""

from pathlib import Path

from sanitization import PRESETS, Policy
from sanitization.policy_file import PolicyError, policy_from_toml


class InvalidPolicy(ValueError):
    """The policy that a server was told to follow cannot be had; the text says which setting, and why."""


def load_policy(name: str) -> Policy:
    """The policy of the setting `scrub_policy`: a preset's name, or the path of a TOML file.

    Raises:
        BadPolicy: There is no such preset or file, or what stands in the file is no policy.
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
