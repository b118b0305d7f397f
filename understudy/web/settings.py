"""The settings of the server's port and of the page."""

from pathlib import Path

from attrs import frozen


@frozen
class TlsSettings:
    """TLS on the server's own port."""

    certificate: Path | None = None
    """A PEM file: the server's certificate and its intermediate certificates; with it and `tls.key` the port uses
    TLS."""
    key: Path | None = None
    """A PEM file: the key of that certificate, without a password."""


@frozen
class PageSettings:
    """The chat page."""

    show_costs: bool = True
    """Whether the page shows users what an answer cost; tokens are shown in any case."""
    voice_input: bool = False
    """Whether the page offers voice input in browsers that turn speech into text; some send the sound to their
    maker."""
