"""The settings of all models together."""

from attrs import field, frozen
from attrs.validators import ge, gt

from understudy.models.prices import PriceTable
from understudy.models.timeouts import Timeouts


@frozen
class ModelsSettings:
    """The settings of all models."""

    window_tokens: int = field(default=128_000, validator=ge(2_000))
    """The window of the language model: longer conversations are shortened."""
    max_output: int = field(default=8_192, validator=gt(0))
    """The longest reply: it is asked of the provider, and this part of the window is kept free for it; half of the
    window at most. `ModelSettings(max_output=…)` of an agent may be smaller."""
    images: bool = False
    """Whether the language model takes images: attached ones are then sent to it, others only described."""
    documents: bool = False
    """Whether the language model is sent attached PDF files, which `openai:` and `anthropic:` take; other files are
    only described."""
    words_per_s: float = field(default=50.0, validator=gt(0))
    """How fast answers are written without a language model."""
    prices: PriceTable = field(factory=PriceTable)
    timeouts: Timeouts = field(factory=dict)
