"""One detector a file. The order below is the order of work: what hides is removed before what is hidden is sought."""

from typing import Final

from .detector import Detector as Detector
from .invisible import Invisible as Invisible
from .secrets import Secrets as Secrets
from .terminal import Terminal as Terminal

DETECTORS: Final[tuple[Detector, ...]] = (Terminal(), Invisible(), Secrets())
