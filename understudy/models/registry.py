"""Which model answers for which agent: `offline`, or `openai:NAME`, from the settings or the agent itself.

A provider on the other side of a network is asked through a breaker. A model object that an agent brings along is used
as it is.
"""

from collections.abc import Callable, Sequence

from actors.behaviours import Breaker, CircuitChange
from understudy.models.model import Model
from understudy.models.offline import OfflineModel
from understudy.models.openai import OpenAI
from understudy.models.resilient import ResilientModel

OFFLINE = "offline"
OPENAI = "openai:"


class UnknownModel(ValueError):
    """A setting or an agent names a model of no known provider."""


class Models:
    """The models of a server, each made once; close it when the server ends.

    `default` names the model of agents that name none; the offline model writes `words_per_s`. `on_change` is told
    when the breaker of one opens or closes.

    Raises:
        UnknownModel: The default model of the settings is of no known provider.
        OpenAINotInstalled: It needs the extra `openai`, which is not installed.
    """

    def __init__(
        self, default: str, words_per_s: float, on_change: Callable[[CircuitChange], None] | None = None
    ) -> None:
        self._on_change = on_change
        self._words_per_s = words_per_s
        self._made: dict[str, Model] = {}
        self._default = self._named(default)

    def of(self, wanted: str | Model | None) -> Model:
        """Give the model that an agent brings or names; for None, the default.

        Raises:
            UnknownModel, OpenAINotInstalled: As for the server's.
        """
        if wanted is None:
            return self._default
        return self._named(wanted) if isinstance(wanted, str) else wanted

    def breakers(self) -> Sequence[Breaker]:
        """Those that providers are asked through."""
        return [model.breaker for model in self._made.values() if isinstance(model, ResilientModel)]

    async def aclose(self) -> None:
        """Close the connections of all models that hold any."""
        for model in self._made.values():
            if isinstance(model, ResilientModel) and isinstance(model.model, OpenAI):
                await model.model.aclose()

    def _named(self, name: str) -> Model:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Model:
        if name == OFFLINE:
            return OfflineModel(words_per_s=self._words_per_s)
        if name.startswith(OPENAI) and name != OPENAI:
            return ResilientModel(OpenAI(name.removeprefix(OPENAI), retries=0), f"model {name}", self._on_change)
        raise UnknownModel(f"there is no model {name!r}; use `offline`, or `openai:` and the name of a model")
