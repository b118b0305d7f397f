"""Scans text for secrets, personal data, hidden characters, terminal sequences and active markup, and redacts them.

No I/O and no actors. `Sanitizer` takes whole texts, `StreamSanitizer` text that arrives in pieces.
"""

from .detector import Detector as Detector
from .findings import Action as Action
from .findings import Category as Category
from .findings import Failure as Failure
from .findings import Finding as Finding
from .findings import Hit as Hit
from .findings import Kind as Kind
from .findings import Sanitized as Sanitized
from .findings import Summary as Summary
from .findings import summary as summary
from .findings import utf16_offsets as utf16_offsets
from .masking import Placeholders as Placeholders
from .pattern import Pattern as Pattern
from .policy import OFF as OFF
from .policy import PRESETS as PRESETS
from .policy import STANDARD as STANDARD
from .policy import STRICT as STRICT
from .policy import Direction as Direction
from .policy import Failing as Failing
from .policy import Mask as Mask
from .policy import Policy as Policy
from .policy import Rules as Rules
from .policy import everywhere as everywhere
from .policy_file import PolicyError as PolicyError
from .policy_file import policy_from_toml as policy_from_toml
from .prefilter import Prefilter as Prefilter
from .sanitizer import CleanTexts as CleanTexts
from .sanitizer import Sanitizer as Sanitizer
from .sanitizer import StreamSanitizer as StreamSanitizer
