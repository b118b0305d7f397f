"""Finds and removes what must not pass: secrets, hidden characters, terminal sequences, active markup.

No I/O and no actors: usable anywhere. `Scrubber` is the face, `StreamScrubber` its twin for text that arrives in
pieces.
"""

from .findings import Category as Category
from .findings import Finding as Finding
from .findings import Scrubbed as Scrubbed
from .findings import Summary as Summary
from .findings import summary as summary
from .policy import OFF as OFF
from .policy import STANDARD as STANDARD
from .policy import Policy as Policy
from .scrubber import Scrubber as Scrubber
from .stream import StreamScrubber as StreamScrubber
