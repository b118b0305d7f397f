"""The part of MathML that shows formulas: nothing that links, runs, embeds or carries a style.

What is missing on purpose: `semantics` and `annotation` (other markup), `maction` (behaviour), `mglyph` (images), and
`href`, `style`, `id` and handlers on any element.
"""

from collections.abc import Mapping
from typing import Final

_OPERATOR: Final = frozenset(
    {"accent", "fence", "form", "largeop", "lspace", "maxsize", "minsize", "movablelimits", "rspace", "separator",
     "stretchy", "symmetric"}
)  # fmt: skip
_STYLED: Final = frozenset({"displaystyle", "scriptlevel"})
_BOX: Final = frozenset({"width", "height", "depth", "lspace", "voffset"})

ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "math": frozenset({"display"}),
    "menclose": frozenset({"notation"}),
    "mfrac": frozenset({"linethickness"}),
    "mi": frozenset({"mathvariant"}),
    "mn": frozenset(),
    "mmultiscripts": frozenset(),
    "mo": _OPERATOR,
    "mover": frozenset({"accent"}),
    "mpadded": _BOX,
    "mphantom": frozenset(),
    "mprescripts": frozenset(),
    "mroot": frozenset(),
    "mrow": frozenset(),
    "mspace": frozenset({"width", "height", "depth"}),
    "msqrt": frozenset(),
    "mstyle": _STYLED,
    "msub": frozenset(),
    "msubsup": frozenset(),
    "msup": frozenset(),
    "mtable": _STYLED,
    "mtd": frozenset({"columnspan", "rowspan"}),
    "mtext": frozenset(),
    "mtr": frozenset(),
    "munder": frozenset({"accentunder"}),
    "munderover": frozenset({"accent", "accentunder"}),
}
"""The attributes of each element that is allowed."""
ELEMENTS: Final = frozenset(ATTRIBUTES)
