"""The models of a server by name: `offline`, or `PROVIDER:NAME`, named by the settings or by an agent.

Several names, separated by commas, are a chain: if one does not answer, the next one goes on.
A provider behind a network is called through a circuit breaker. A model object of an agent is used unchanged.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import trio

from actors.behaviours import Breaker, CircuitChange
from understudy.models.fallback import FallbackModel
from understudy.models.model import Model, ModelLimits
from understudy.models.offline import OfflineModel
from understudy.models.prices import PriceTable
from understudy.models.resilient import ResilientModel
from understudy.models.timeouts import Timeouts, timeouts_of

OFFLINE = "offline"
PROVIDERS: Final[Mapping[str, tuple[str, str]]] = {
    "openai": ("understudy.models.openai", "OpenAI"),
    "openai-chat": ("understudy.models.openai_chat", "OpenAIChat"),
    "anthropic": ("understudy.models.anthropic", "Anthropic"),
}
"""The module and class of each provider behind a network, by what is before the colon of a model's name. Only those are
imported that a model names."""


class UnknownModel(ValueError):
    """A setting or an agent names a model of an unknown provider."""


def load_provider(name: str) -> Callable[..., Any]:
    """Return the class of a provider's clients, one of PROVIDERS."""
    module, kind = PROVIDERS[name]
    found: Callable[..., Any] = getattr(import_module(module), kind)
    return found


def chain(name: str) -> tuple[str, ...]:
    """Return the models that a name has, separated by commas. Raises UnknownModel for an empty one, or one twice."""
    names = tuple(each.strip() for each in name.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise UnknownModel(f"{name!r} is no list of models: each is named once, with a comma between two")
    return names


def costs_unknown(name: str, prices: PriceTable) -> bool:
    """Return whether nothing would be counted for a model: it has no price, and is not the free offline one."""
    return name != OFFLINE and prices.price(name) is None


class Models:
    """The models of a server, each created once. Close it when the server stops.

    `default` names the model of agents without one; the offline model writes `words_per_s`. `on_change` is called if
    a model's breaker opens or closes. `limits` and `timeouts` are those of models behind a network.

    Raises:
        UnknownModel: The provider of the default model is unknown.
        ExtraNotInstalled: It needs an extra, such as `openai`, which is not installed.
    """

    def __init__(
        self,
        default: str,
        words_per_s: float,
        on_change: Callable[[CircuitChange], None] | None = None,
        limits: ModelLimits | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._default, self._words_per_s, self._on_change = default, words_per_s, on_change
        self._limits, self._timeouts = limits, timeouts or {}
        self._models: dict[str, Model] = {}
        self._expected = False
        self.of(default)

    def of(self, wanted: str | Model | None) -> Model:
        """Return the model object or the model of that name; the default for None.

        Raises:
            UnknownModel, ExtraNotInstalled: A model of that name cannot be created.
        """
        name = self._default if wanted is None else wanted
        if not isinstance(name, str):
            return name
        if (model := self._models.get(name)) is None:
            if len(names := chain(name)) > 1:
                model = FallbackModel(tuple(map(self.of, names)), names)
            elif name == OFFLINE:
                model = OfflineModel(words_per_s=self._words_per_s)
            else:
                model = ResilientModel(self._client(name), f"model {name}", self._on_change)
            self._models[name] = model
        return model

    @property
    def default(self) -> str:
        """The name of the model of agents without one."""
        return self._default

    def use(self, name: str, url: str) -> None:
        """Let agents without a model use that of a local server that speaks chat completions at `url`. Blocks.

        Raises:
            ExtraNotInstalled: The extra of its client is not installed.
        """
        provider, _, model = name.partition(":")
        times = timeouts_of(name, self._timeouts)
        client = load_provider(provider)(model, api_key="local", base_url=url, retries=0, limits=self._limits, **times)
        self._models[name] = ResilientModel(client, f"model {name}", self._on_change)
        self._default = name

    def _client(self, name: str) -> Model:
        """Return the client of a model behind a network. Raises UnknownModel, ExtraNotInstalled."""
        provider, _, model = name.partition(":")
        if provider not in PROVIDERS or not model:
            known = ", ".join(f"`{each}:NAME`" for each in PROVIDERS)
            raise UnknownModel(f"there is no model {name!r}; use `offline`, or one of {known}")
        times = timeouts_of(name, self._timeouts)
        client: Model = load_provider(provider)(model, retries=0, limits=self._limits, **times)
        return client

    def expect_turns(self) -> None:
        """Import the rules of the offline model, if there is one, at the first call only.

        Called when a client connects. A turn that comes before imports them on its way.
        """
        offline = self._models.get(OFFLINE)
        if not self._expected and isinstance(offline, OfflineModel):
            trio.lowlevel.spawn_system_task(offline.warm_up, name="understudy.models.offline.warm_up")
        self._expected = True

    def clients(self) -> Mapping[str, Model]:
        """Return the clients of all models behind a network that were created so far, by the names of the models."""
        return {name: each.model for name, each in self._models.items() if isinstance(each, ResilientModel)}

    def breakers(self) -> Sequence[Breaker]:
        """Return the breakers of all models created so far."""
        return [model.breaker for model in self._models.values() if isinstance(model, ResilientModel)]

    async def aclose(self) -> None:
        """Close the connections of all models that hold any."""
        for model in self._models.values():
            if isinstance(model, ResilientModel) and (aclose := getattr(model.model, "aclose", None)) is not None:
                await aclose()
