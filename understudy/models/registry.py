"""The models of a server by name: `offline`, or `openai:NAME`, named by the settings or by an agent.

A provider behind a network is called through a circuit breaker. A model object of an agent is used unchanged.
"""

from collections.abc import Callable, Sequence

from actors.behaviours import Breaker, CircuitChange
from understudy.models.model import Model, ModelLimits
from understudy.models.offline import OfflineModel
from understudy.models.openai import OpenAI
from understudy.models.resilient import ResilientModel

OFFLINE = "offline"
OPENAI = "openai:"


class UnknownModel(ValueError):
    """A setting or an agent names a model of an unknown provider."""


class Models:
    """The models of a server, each created once. Close it when the server stops.

    `default` names the model of agents without one; the offline model writes `words_per_s`. `on_change` is called if
    a model's breaker opens or closes. `limits` are those of models behind a network.

    Raises:
        UnknownModel: The provider of the default model is unknown.
        OpenAINotInstalled: It needs the extra `openai`, which is not installed.
    """

    def __init__(
        self,
        default: str,
        words_per_s: float,
        on_change: Callable[[CircuitChange], None] | None = None,
        limits: ModelLimits | None = None,
    ) -> None:
        self._default, self._words_per_s, self._on_change = default, words_per_s, on_change
        self._limits = limits
        self._models: dict[str, Model] = {}
        self.of(default)

    def of(self, wanted: str | Model | None) -> Model:
        """Return the model object or the model of that name; the default for None.

        Raises:
            UnknownModel, OpenAINotInstalled: A model of that name cannot be created.
        """
        name = self._default if wanted is None else wanted
        if not isinstance(name, str):
            return name
        if (model := self._models.get(name)) is None:
            if name == OFFLINE:
                model = OfflineModel(words_per_s=self._words_per_s)
            elif name.startswith(OPENAI) and name != OPENAI:
                client = OpenAI(name.removeprefix(OPENAI), retries=0, limits=self._limits)
                model = ResilientModel(client, f"model {name}", self._on_change)
            else:
                raise UnknownModel(f"there is no model {name!r}; use `offline`, or `openai:` and the name of a model")
            self._models[name] = model
        return model

    def breakers(self) -> Sequence[Breaker]:
        """Return the breakers of all models created so far."""
        return [model.breaker for model in self._models.values() if isinstance(model, ResilientModel)]

    async def aclose(self) -> None:
        """Close the connections of all models that hold any."""
        for model in self._models.values():
            if isinstance(model, ResilientModel) and isinstance(model.model, OpenAI):
                await model.model.aclose()
