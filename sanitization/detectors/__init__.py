"""Detectors, one a module, or a folder where one needs several modules. Each finds spans of text and changes nothing.

The order in which they run is set here; the policy that decides on findings is one folder up.
"""

from typing import Final

from sanitization.detector import Detector

from .injection.detector import Injection as Injection
from .injection.unseen_orders import UnseenOrders as UnseenOrders
from .markup.links import Links as Links
from .percent import Percent as Percent
from .pii.detector import Pii as Pii
from .secrets.detector import Secrets as Secrets
from .terminal import Terminal as Terminal
from .unicode.homoglyphs import Homoglyphs as Homoglyphs
from .unicode.invisible import Invisible as Invisible

DISGUISES: Final[tuple[Detector, ...]] = (Terminal(), UnseenOrders(), Invisible(), Homoglyphs())
"""In the order they run: each reads the output of the one before."""
CONTENT: Final[tuple[Detector, ...]] = (Links(), Secrets(), Pii(), Injection())
"""Run side by side. If two claim the same span, the earlier detector wins. So an address is removed as a whole:
removing only a secret or a name in it would leave the rest, and the image would still be fetched.
"""
