"""The setting of files."""

from attrs import field, frozen
from attrs.validators import gt


@frozen
class FileSettings:
    """What may be uploaded."""

    max_bytes: int = field(default=20 * 1024 * 1024, validator=gt(0))
    """The largest upload."""
