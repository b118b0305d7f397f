"""The settings of traces."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from attrs import field, frozen
from attrs.validators import ge, le

from transport.auth.fetch import is_base

if TYPE_CHECKING:
    from understudy.app.settings import Settings

HEADER_NAME: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")


@frozen
class OtlpSettings:
    """Traces of runs, sent to a collector."""

    endpoint: str = ""
    """The collector to which traces are sent, such as `http://localhost:4318`; empty: nothing is traced."""
    headers: list[str] = field(factory=list, repr=False)
    """Headers of the requests to the collector, `NAME=VALUE`, such as a key."""
    ratio: float = field(default=1.0, validator=[ge(0), le(1)])
    """The share of runs that are traced, 0 to 1."""
    content: bool = False
    """Whether spans have the texts of users, models and tools, as they are stored."""

    def faults(self, _: "Settings") -> Iterator[str]:
        """Yield a sentence for each fault of the settings."""
        if self.endpoint and not is_base(self.endpoint):
            yield (
                "otlp.endpoint must be an address such as http://localhost:4318, without /v1/traces, not "
                f"{self.endpoint!r}"
            )
        for name in ("headers", "content"):
            if getattr(self, name) and not self.endpoint:
                yield f"otlp.{name} (UNDERSTUDY_OTLP_{name.upper()}) has no effect without otlp.endpoint"
        for header in self.headers:
            name, separator, value = header.partition("=")
            if not separator or not HEADER_NAME.fullmatch(name.strip()):
                yield "otlp.headers must be like NAME=VALUE, and one of them is not (not shown here)"
            if not (value.isascii() and value.isprintable()):
                yield f"the value of {name.strip()} in otlp.headers has characters that no header may have"
