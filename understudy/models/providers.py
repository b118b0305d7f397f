"""The providers of models by name: each has an address, a key, an API and the SDK's client that speaks it.

`openai`, `openai-chat` and `anthropic` are built in. `[understudy.providers.NAME]` of a settings file adds a provider,
or changes one of these.
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pkgutil import resolve_name
from typing import Any, Final, TypeAlias

from attrs import Factory, asdict, define, evolve, field, frozen
from attrs.validators import gt, in_, optional

from transport.auth.fetch import is_fetchable
from understudy.extension import Extension
from understudy.installed import ExtensionFault, installed
from understudy.models.faults import REFUSED_KEY
from understudy.models.items import Item, ReasoningItem
from understudy.models.keys import read_key
from understudy.models.model import Emit, ModelFault, ModelLimits, ModelUnavailable, Reply, Turn, limits_of
from understudy.storage.errors import ExtraNotInstalled

OFFLINE: Final = "offline"
AZURE_VERSION: Final = "2025-04-01-preview"
"""The `api-version` of Azure OpenAI unless `api_version`, or the SDK's variable OPENAI_API_VERSION, names another."""
BEARER: Final = "AWS_BEARER_TOKEN_BEDROCK"
"""Amazon's variable for a key of Bedrock."""
NO_KEY: Final = "none"
"""The key for a server in this network that wants none: the SDKs demand some key."""
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
_ENDPOINT: Final = re.compile(r"/(?:chat/completions|responses|messages)/*$")


@frozen
class Api:
    """An API, or an SDK's client for the cloud of one company, which serves `apis`.

    An `extension` makes the clients of an API, a `maker` (``MODULE:NAME``) those of a cloud. `url`, `key` and `options`
    name its parameters for a provider's address, key and further members. `extra` is the extra to install. `package`
    finds this machine's credentials for the cloud if no key is set.
    """

    extra: str
    extension: str = ""
    maker: str = ""
    package: str = ""
    apis: tuple[str, ...] = ()
    options: Mapping[str, str] = field(factory=dict)
    url: str = "base_url"
    key: str = "api_key"


OF_MANY: Final = ("chat", "responses", "messages")
"""APIs that many servers speak, so that a provider must set its address."""
APIS: Final[Mapping[str, Api]] = {
    "chat": Api("openai", "openai"),
    "responses": Api("openai", "openai"),
    "messages": Api("anthropic", "anthropic"),
    "gemini": Api("gemini", "frameworks"),
    "converse": Api("bedrock", "frameworks", package="boto3", options={"region": "region"}),
    "cohere": Api("cohere", "frameworks"),
}
_AZURE = {"api_version": "api_version"}
_CLAUDE = ("messages",)
_GOOGLE = {"region": "region", "project": "project_id"}
CLIENTS: Final[Mapping[str, Api]] = {
    "azure": Api("openai", "", "openai:AsyncAzureOpenAI", "", ("chat", "responses"), _AZURE, "azure_endpoint"),
    "bedrock": Api("bedrock", "", "anthropic:AsyncAnthropicBedrock", "boto3", _CLAUDE, {"region": "aws_region"}),
    "foundry": Api("anthropic", "", "anthropic:AsyncAnthropicFoundry", "", _CLAUDE),
    "vertex": Api("vertex", "", "anthropic:AsyncAnthropicVertex", "google.auth", _CLAUDE, _GOOGLE, key="access_token"),
}
"""The SDKs' clients for clouds. None of them can list the models that can be used."""


class UnknownModel(ValueError):
    """A setting or an agent names a model of an unknown provider."""


def _check_address(url: str, where: str) -> None:
    """Raise ValueError for a malformed address. It is not quoted, because it may contain a password."""
    if url and (not is_fetchable(url) or "?" in url or "#" in url):
        raise ValueError(f"{where} must be an address such as https://api.mistral.ai/v1, without user and query")


def _has_credentials(package: str) -> bool:
    """Return whether the package finds its cloud's credentials here. Blocks. Raises ImportError without the package."""
    finder = import_module(package)
    try:
        return bool(finder.Session().get_credentials() if package == "boto3" else finder.default())
    except Exception:  # the errors are of many kinds; each means that no credentials can be used
        return False


def _default_api(provider: "ModelProvider") -> str:
    return CLIENTS[provider.client].apis[0] if provider.client in CLIENTS else "chat"


def _default_variables(provider: "ModelProvider") -> str:
    return re.sub("[^A-Z0-9]", "_", provider.name.upper())


@frozen
class ModelProvider:
    """A provider of models. Raises ValueError for members that exclude each other.

    The environment variables `variables`_API_KEY and `variables`_BASE_URL override `key` and `url`; if `variables` is
    empty, none is read. A member of `ModelLimits` that is None has the server's value.
    """

    name: str
    url: str = ""
    key: str = field(default="", repr=False)
    client: str = field(default="", validator=in_(("", *CLIENTS)))
    api: str = field(default=Factory(_default_api, takes_self=True), validator=in_(tuple(APIS)))
    region: str = ""
    project: str = ""
    api_version: str = ""
    window_tokens: int | None = field(default=None, validator=optional(gt(0)))
    max_output: int | None = field(default=None, validator=optional(gt(0)))
    images: bool | None = None
    documents: bool | None = None
    variables: str = field(default=Factory(_default_variables, takes_self=True))

    def __attrs_post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name == OFFLINE:
            raise ValueError(f"{self.name!r} cannot be the name of a provider: use letters, digits, -, _ and .")
        _check_address(self.url, f"providers.{self.name}.url")
        client = CLIENTS.get(self.client)
        if client is not None and self.api not in client.apis:
            raise ValueError(f"providers.{self.name}.api must be {' or '.join(client.apis)} with client {self.client}")
        takes = (client or APIS[self.api]).options
        for name in ("region", "project", "api_version"):
            if getattr(self, name) and name not in takes:
                takers = [f"client {taker}" for taker, other in CLIENTS.items() if name in other.options]
                takers += [f"api {taker}" for taker, other in APIS.items() if name in other.options]
                raise ValueError(f"providers.{self.name}.{name} has no effect without {' or '.join(takers)}")

    @property
    def key_variable(self) -> str:
        """The name of the variable with its key."""
        return f"{self.variables}_API_KEY"

    def open(
        self,
        model: str,
        limits: ModelLimits | None,
        times: Mapping[str, float],
        extensions: Mapping[str, Extension] | None = None,
    ) -> "ProviderModel":
        """Return a model of this provider. `extensions` are those that are on, None for all. Blocks, for most of a
        second when the SDK is imported for the first time.

        Raises:
            ExtensionFault: The extension with the API's client is off.
            ExtraNotInstalled: The SDK, or the package that finds the cloud's credentials, is not installed.
            ValueError: The key or another member is missing or wrong; the text names it.
        """
        api, client = APIS[self.api], CLIENTS.get(self.client)
        signer, extensions = client or api, installed() if extensions is None else extensions
        if api.extension not in extensions:
            off = f"the model {self.name}:{model} needs the extension {api.extension}, which is off"
            raise ExtensionFault(f"{off}: have it on by the setting `extensions`, or choose another model")
        variable = f"{self.variables}_BASE_URL"
        url = (self.variables and os.environ.get(variable, "").strip()) or self.url
        _check_address(url, variable)
        if not url and not signer.package and self.name not in BUILT_IN and self.api in OF_MANY:
            raise ValueError(
                f"the provider {self.name} needs its address: set providers.{self.name}.url, or {variable}"
            )
        key = (self.variables and read_key(self.key_variable)) or self.key
        if not (key or signer.package):
            if not url.startswith("http:"):
                needed = f"set {self.key_variable}, or {self.key_variable}_FILE to a file that has it"
                raise ValueError(f"the provider {self.name} needs a key: {needed}, or providers.{self.name}.key")
            key = NO_KEY
        url = _ENDPOINT.sub("", url)
        if self.api == "messages":
            url = re.sub("/v1/*$", "", url)  # the SDK adds it
        options = {theirs: getattr(self, ours) for ours, theirs in api.options.items()}
        options |= {"api_key": key or None, "base_url": url or None, "limits": self._limits(limits or ModelLimits())}
        try:
            bearer = signer.package == "boto3" and bool(os.environ.get(BEARER))
            if not (key or bearer or _has_credentials(signer.package)):
                raise ValueError("no credentials of its cloud are found on this machine")
            if client is not None:
                options["sdk"] = self._sdk(client)
            make = extensions[api.extension].models()[self.api]
            return ProviderModel(self, make(model, **options, **times))
        except ImportError as error:
            raise ExtraNotInstalled(f"the model {self.name}:{model}", signer.extra) from error
        except ValueError as error:
            raise ValueError(f"the provider {self.name}: {error}") from None

    def _limits(self, limits: ModelLimits) -> ModelLimits:
        changed_limits = {name: value for name in asdict(limits) if (value := getattr(self, name)) is not None}
        limits = evolve(limits, **changed_limits)
        return evolve(limits, max_output=min(limits.max_output, limits.window_tokens // 2))

    def _sdk(self, client: Api) -> Callable[..., Any]:
        """Return a function that makes the SDK's client for a cloud; it takes the arguments of the SDK's own client."""
        kind = resolve_name(client.maker)
        options = {theirs: getattr(self, ours) for ours, theirs in client.options.items()}
        if self.client == "azure":
            options["api_version"] = self.api_version or os.environ.get("OPENAI_API_VERSION") or AZURE_VERSION

        def make(*, api_key: str | None, base_url: str | None, **more: Any) -> Any:
            if self.client == "azure":  # the client adds the path, which differs for each model
                base_url = re.sub("/openai(/v1)?/*$", "", base_url or "")
            arguments = {**options, client.key: api_key, client.url: base_url}
            return kind(**{name: value for name, value in arguments.items() if value}, **more)

        return make


@define(eq=False)
class ProviderModel:
    """A `Model` of a provider. The state of its replies goes back to it only, not to other providers of its API."""

    provider: ModelProvider
    client: Any
    name: str = field(init=False)
    notice: str = field(init=False)
    titles: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name, self.notice, self.titles = self.provider.name, self.client.notice, self.client.titles

    @property
    def limits(self) -> ModelLimits:
        """The limits of the model."""
        return limits_of(self.client)

    async def respond(self, turn: Turn, emit: Emit) -> Reply:
        """Answer one turn. Raises `ModelUnavailable`."""
        turn = evolve(turn, items=tuple(map(self._with_own_state, turn.items)))
        try:
            reply: Reply = await self.client.respond(turn, emit)
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("botocore", "google"):
                raise
            failure = ModelUnavailable(REFUSED_KEY, False, type(error).__name__, None, ModelFault.KEY)
        else:
            if reply.state is None:
                return reply
            return evolve(reply, state=evolve(reply.state, provider=f"{self.name}/{reply.state.provider}"))
        raise failure  # outside the except clause, so that the SDK's error, which may have secrets, is not its context

    def _with_own_state(self, item: Item) -> Item:
        """Return an item without the state of another provider's reply, and the client's name in that of its own."""
        if not isinstance(item, ReasoningItem) or item.state is None:
            return item
        name, _, kind = item.state.provider.rpartition("/")
        return evolve(item, state=evolve(item.state, provider=kind) if name == self.name else None)

    async def known_models(self) -> list[str]:
        """Return the names of the models that the provider has. Raises `ModelUnavailable`."""
        if self.provider.client or not hasattr(self.client, "known_models"):
            raise ModelUnavailable("The provider has no list of models.", False, "404", None, ModelFault.ADDRESS)
        names: list[str] = await self.client.known_models()
        return names

    async def aclose(self) -> None:
        """Close the client's idle connections. The model cannot be used afterwards."""
        await self.client.aclose()


BUILT_IN: Final[Mapping[str, ModelProvider]] = {
    "openai": ModelProvider("openai", api="responses"),
    "openai-chat": ModelProvider("openai-chat", variables="OPENAI"),
    "anthropic": ModelProvider("anthropic", api="messages"),
}
Providers: TypeAlias = Mapping[str, ModelProvider]


def with_settings(rows: Mapping[str, Mapping[str, Any]]) -> Providers:
    """Return all providers by name: the built-in ones, and those that `rows`, tables of the settings, add or change.

    Raises ValueError for a table whose members exclude each other.
    """
    configured = {
        name: evolve(BUILT_IN[name], **row) if name in BUILT_IN else ModelProvider(name, **row)
        for name, row in rows.items()
    }
    return {**BUILT_IN, **configured}


def find_provider(name: str, providers: Providers) -> tuple[ModelProvider, str]:
    """Return the provider of a model `PROVIDER:NAME`, and the name of the model there. Raises UnknownModel."""
    prefix, _, model = name.partition(":")
    if model and prefix in providers:
        return providers[prefix], model
    prefix, _, model = name.replace("/", ":").partition(":")
    near = difflib.get_close_matches(prefix.lower(), [*providers, OFFLINE], 1, 0.6)
    suggestions = [provider if provider == OFFLINE else f"{provider}:{model or 'NAME'}" for provider in near]
    names = ", ".join(f"`{provider}:NAME`" for provider in providers)
    hint = f"did you mean {suggestions[0]}? Use" if suggestions else "use"
    raise UnknownModel(f"there is no model {name!r}; {hint} `offline`, or one of {names}")
