"""One detector a file. What hides is removed before what is hidden is sought."""

from typing import Final

from .detector import Detector as Detector
from .homoglyphs import Homoglyphs as Homoglyphs
from .injection import Injection as Injection
from .invisible import Invisible as Invisible
from .links import Links as Links
from .pattern import Pattern as Pattern
from .pii import Pii as Pii
from .secrets import Secrets as Secrets
from .terminal import Terminal as Terminal
from .unseen_orders import UnseenOrders as UnseenOrders

DISGUISES: Final[tuple[Detector, ...]] = (Terminal(), UnseenOrders(), Invisible(), Homoglyphs())
"""In the order of work: each reads what the one before it left."""
CONTENT: Final[tuple[Detector, ...]] = (Links(), Secrets(), Pii(), Injection())
"""Read side by side; where two claim the same place, the earlier one has it. So an address that goes is gone as a
whole: a secret or a name found in it would leave the rest, and the image would still be fetched."""
