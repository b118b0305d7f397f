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
    """Split a name into its models, separated by commas. Raises UnknownModel for an empty or repeated one."""
    names = tuple(part.strip() for part in name.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise UnknownModel(f"{name!r} is no list of models: each is named once, with a comma between two")
    return names


def costs_unknown(name: str, prices: PriceTable) -> bool:
    """Return whether a model's cost cannot be counted: it has no price, and is not the free offline model."""
    return name != OFFLINE and prices.price(name) is None


class Models:
    """The models of a server, each created once. Close it when the server stops.

    `default` names the model of agents without one; the offline model writes `words_per_s`. `on_change` is called when
    a model's breaker opens or closes. `limits` and `timeouts` apply to the models of `providers`, whose clients
    `extensions` bring: those that are on, None for all. `prices` are those of all models.

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
        self.hint: Callable[[], Awaitable[str]] | None = None  # says how to connect a model server of this machine
        self._models: dict[str, Model] = {}
        self.clients: dict[str, ProviderModel] = {}  # of all models of providers that were created so far
        self.breakers: list[Breaker] = []
        self.of(default)

    def of(self, wanted: str | Model | None) -> Model:
        """Return the model of that name, created on first use, or the model object itself; the default for None.

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
        """Make a local server's model the default. The server speaks the API of the provider at `url`. Blocks.

        Raises:
            ExtraNotInstalled: The extra of its client is not installed.
        """
        provider, model = find_provider(name, self.providers)
        self._models[name] = self._open(name, evolve(provider, url=url, key="local", variables=""), model)
        self.default = name

    def _open(self, name: str, provider: ModelProvider, model: str) -> ResilientModel:
        times = timeouts_of(name, self._timeouts)
        self.clients[name] = client = provider.open(model, self._limits, times, self._extensions)
        resilient = ResilientModel(client, f"model {name}", self._on_change)
        self.breakers.append(resilient.breaker)
        return resilient

    async def aclose(self) -> None:
        """Close the connections of all models that hold any."""
        for client in self.clients.values():
            await client.aclose()
