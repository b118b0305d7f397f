"""The models of a server by name: `offline`, or `PROVIDER:NAME`, named by the settings or by an agent.

Several names, separated by commas, are a chain: if one does not answer, the next one goes on. A provider behind a
network is called through a circuit breaker. A model object of an agent is used unchanged.
"""

from collections.abc import Awaitable, Callable, Mapping

from attrs import evolve

from actors.behaviours import Breaker, CircuitChange
from understudy.extension import Extension
from understudy.models.fallback import FallbackModel
from understudy.models.model import Model, ModelLimits
from understudy.models.offline import OfflineModel
from understudy.models.prices import PriceTable
from understudy.models.providers import (
    BUILT_IN,
    OFFLINE,
    ModelProvider,
    ProviderModel,
    Providers,
    UnknownModel,
    find_provider,
)
from understudy.models.resilient import ResilientModel
from understudy.models.timeouts import Timeouts, timeouts_of


def chain(name: str) -> tuple[str, ...]:
    """Return the models that a name has, separated by commas. Raises UnknownModel for an empty one, or one twice."""
    names = tuple(part.strip() for part in name.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise UnknownModel(f"{name!r} is no list of models: each is named once, with a comma between two")
    return names


def costs_unknown(name: str, prices: PriceTable) -> bool:
    """Return whether nothing would be counted for a model: it has no price, and is not the free offline one."""
    return name != OFFLINE and prices.price(name) is None


class Models:
    """The models of a server, each created once. Close it when the server stops.

    `default` names the model of agents without one; the offline model writes `words_per_s`. `on_change` is called if
    a model's breaker opens or closes. `limits` and `timeouts` are those of models behind a network, of `providers`,
    whose clients are brought by `extensions`: those that are on, None for all. `prices` are those of all models.

    Raises:
        UnknownModel, ExtraNotInstalled, ValueError: See `of`, for the default model.
    """

    def __init__(
        self,
        default: str,
        words_per_s: float,
        on_change: Callable[[CircuitChange], None] | None = None,
        limits: ModelLimits | None = None,
        timeouts: Timeouts | None = None,
        providers: Providers = BUILT_IN,
        extensions: Mapping[str, Extension] | None = None,
        prices: PriceTable | None = None,
    ) -> None:
        self.prices = PriceTable() if prices is None else prices
        self.providers = providers
        self.default, self._words_per_s, self._on_change = default, words_per_s, on_change
        self._limits, self._timeouts, self._extensions = limits, timeouts or {}, extensions
        self.hint: Callable[[], Awaitable[str]] | None = None  # how to connect a model of this machine, if there is one
        self._models: dict[str, Model] = {}
        self.clients: dict[str, ProviderModel] = {}  # of all models behind a network that were created so far
        self.breakers: list[Breaker] = []
        self.of(default)

    def of(self, wanted: str | Model | None) -> Model:
        """Return the model object or the model of that name; the default for None.

        Raises:
            UnknownModel: Its provider is unknown.
            ExtraNotInstalled, ValueError: Its provider cannot be used; see `ModelProvider.open`.
        """
        name = self.default if wanted is None else wanted
        if not isinstance(name, str):
            return name
        if (model := self._models.get(name)) is None:
            if len(names := chain(name)) > 1:
                model = FallbackModel(tuple(map(self.of, names)), names)
            elif name == OFFLINE:
                model = OfflineModel(words_per_s=self._words_per_s)
            else:
                model = self._open(name, *find_provider(name, self.providers))
            self._models[name] = model
        return model

    def use(self, name: str, url: str) -> None:
        """Let agents without a model use that of a local server, which speaks its provider's API at `url`. Blocks.

        Raises:
            ExtraNotInstalled: The extra of its client is not installed.
        """
        provider, model = find_provider(name, self.providers)
        self._models[name] = self._open(name, evolve(provider, url=url, key="local", variables=""), model)
        self.default = name

    def _open(self, name: str, provider: ModelProvider, model: str) -> ResilientModel:
        times = timeouts_of(name, self._timeouts)
        self.clients[name] = opened = provider.open(model, self._limits, times, self._extensions)
        made = ResilientModel(opened, f"model {name}", self._on_change)
        self.breakers.append(made.breaker)
        return made

    async def aclose(self) -> None:
        """Close the connections of all models that hold any."""
        for client in self.clients.values():
            await client.aclose()
