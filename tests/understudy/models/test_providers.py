"""Providers by name: each has its address, key, client and memory; what is wrong with one is a sentence."""

import sys
from typing import Any

import pytest
from attrs import evolve

from tests.rigs.heard import Heard
from tests.rigs.model_apis import items_of, played
from tests.rigs.model_provider import KEY, Provider, Script
from tests.rigs.model_turns import OVER_SDK, a_turn, closing
from understudy.installed import ExtensionFault, chosen
from understudy.models.model import MessageItem, ModelSettings, ModelUnavailable
from understudy.models.providers import BUILT_IN, UnknownModel, find_provider, with_settings
from understudy.models.registry import Models
from understudy.storage.errors import ExtraNotInstalled

MISTRAL = "https://api.mistral.ai/v1"
AZURE = "https://r.openai.azure.com"

pytestmark = OVER_SDK


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC", "MISTRAL", "P"):
        for member in ("API_KEY", "BASE_URL"):
            monkeypatch.delenv(f"{name}_{member}", raising=False)


def opened(name: str = "p", **row: Any) -> Any:
    return with_settings({name: row})[name].open("m", None, {})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mistrl:small", "did you mean mistral:small?"),
        ("openai", "did you mean openai:NAME?"),
        ("openai/gpt-x", "did you mean openai:gpt-x?"),
        ("Anthropic:claude-x", "did you mean anthropic:claude-x?"),
        ("ofline", "did you mean offline?"),
        ("x:y", "'x:y'; use `offline`, or one of `openai:NAME`"),
    ],
)
def test_a_misspelt_model_is_named_with_what_is_meant(name: str, meant: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        find_provider(name, with_settings({"mistral": {"url": MISTRAL}}))
    assert meant in str(caught.value)
    assert "`mistral:NAME`" in str(caught.value)


ADDRESSES: list[tuple[str, dict[str, str], str, str]] = [
    ("openai", {"key": "k"}, "AsyncOpenAI", "https://api.openai.com/v1/"),
    ("openai", {"key": "k", "url": "https://gateway.example/v1"}, "AsyncOpenAI", "https://gateway.example/v1/"),
    ("anthropic", {"key": "k"}, "AsyncAnthropic", "https://api.anthropic.com"),
    ("p", {"key": "k", "url": MISTRAL}, "AsyncOpenAI", f"{MISTRAL}/"),
    ("p", {"key": "k", "url": f"{MISTRAL}/chat/completions"}, "AsyncOpenAI", f"{MISTRAL}/"),
    ("p", {"url": "http://127.0.0.1:9/v1"}, "AsyncOpenAI", "http://127.0.0.1:9/v1/"),
    ("p", {"key": "k", "url": "https://a.example/v1", "api": "messages"}, "AsyncAnthropic", "https://a.example"),
    ("p", {"key": "k", "url": AZURE, "client": "azure"}, "AsyncAzureOpenAI", f"{AZURE}/openai/"),
    ("p", {"key": "k", "url": f"{AZURE}/openai/v1", "client": "azure"}, "AsyncAzureOpenAI", f"{AZURE}/openai/"),
    ("p", {"key": "k", "url": f"{AZURE}/anthropic/", "client": "foundry"},
        "AsyncAnthropicFoundry", f"{AZURE}/anthropic/"),
    ("p", {"key": "k", "region": "eu-west-1", "client": "bedrock"},
        "AsyncAnthropicBedrock", "https://bedrock-runtime.eu-west-1.amazonaws.com"),
    ("p", {"key": "k", "region": "global", "project": "x", "client": "vertex"},
        "AsyncAnthropicVertex", "https://aiplatform.googleapis.com/v1/"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "sdk", "address"), ADDRESSES)
async def test_each_has_its_client_and_address(name: str, row: dict[str, str], sdk: str, address: str) -> None:
    async with closing(opened(name, **row)) as model:
        made = model.client.sdk
        assert (type(made).__name__, str(made.base_url)) == (sdk, address)
        assert model.name == name


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({}, "the provider p needs its address: set providers.p.url, or P_BASE_URL"),
        ({"client": "azure", "key": "k"}, "the provider p needs its address"),
        ({"url": MISTRAL}, "the provider p needs a key: set P_API_KEY, or P_API_KEY_FILE"),
        ({"url": "https://me:hunter2@a.example"}, "providers.p.url must be an address such as"),
        ({"url": f"{MISTRAL}?key=hunter2"}, "providers.p.url must be an address such as"),
        ({"url": AZURE, "region": "x"}, "region has no effect without client bedrock or client vertex or api converse"),
        ({"url": MISTRAL, "api_version": "x"}, "api_version has no effect without client azure"),
        ({"url": AZURE, "client": "azure", "api": "messages"}, "api must be chat or responses with client azure"),
        ({"client": "vertex", "key": "k"}, "the provider p: No region was given"),
        ({"api": "gemini"}, "the provider p needs a key"),
    ],
)
def test_a_wrong_provider_is_refused_in_a_sentence(
    row: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLOUD_ML_REGION", raising=False)
    with pytest.raises(ValueError, match=sentence) as caught:
        opened(**row)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["a:b", "a b", "", "offline", "x" * 65])
def test_a_name_can_be_written_before_a_colon(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a provider"):
        with_settings({name: {"url": MISTRAL}})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, row, extra in (
        ("openai", {"key": "k", "url": MISTRAL}, "openai"),
        ("anthropic", {"key": "k", "url": MISTRAL, "api": "messages"}, "anthropic"),
        ("boto3", {"region": "x", "client": "bedrock"}, "bedrock"),
        ("google.auth", {"region": "x", "client": "vertex"}, "vertex"),
        ("boto3", {"region": "x", "api": "converse"}, "bedrock"),
        ("google.genai", {"key": "k", "api": "gemini"}, "gemini"),
        ("pydantic_ai", {"key": "k", "api": "gemini"}, "gemini"),
        ("cohere", {"key": "k", "api": "cohere"}, "cohere"),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
        with pytest.raises(ExtraNotInstalled, match=rf"the model p:m needs .*understudy-server\[{extra}\]"):
            opened(**row)
        monkeypatch.undo()


def test_variables_go_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P_API_KEY", "of-the-variable")
    monkeypatch.setenv("P_BASE_URL", "http://127.0.0.1:9/v1")
    sdk = opened(url=MISTRAL, key="of-the-file").client.sdk
    assert (sdk.api_key, str(sdk.base_url)) == ("of-the-variable", "http://127.0.0.1:9/v1/")
    assert "of-the-file" not in repr(with_settings({"p": {"key": "of-the-file"}}))


def test_limits_are_the_providers_own_if_it_has_some() -> None:
    limits = opened(url=MISTRAL, key="k", window_tokens=8_000, images=True).limits
    assert (limits.window_tokens, limits.max_output, limits.images, limits.documents) == (8_000, 4_000, True, False)


async def test_two_of_one_api_share_nothing(provider: Provider, heard: Heard) -> None:
    """A chain over both asks each at its address with its key, and only the one that failed has a failure counted."""
    provider.scripts = [Script(status=503, error={"message": "away"}) for _ in range(3)]
    with Provider() as other:
        rows = {"one": {"url": provider.url, "key": "first"}, "two": {"url": other.url, "key": "second"}}
        other.scripts = [played("chat", "Hi")]
        async with closing(Models("one:m, two:m", 50.0, providers=with_settings(rows))) as models:
            assert (await models.of(None).respond(a_turn(), heard)).text == "Hi"
            assert [breaker.name for breaker in models.breakers] == ["model one:m", "model two:m"]
            assert list(models.clients) == ["one:m", "two:m"]
    assert ({*provider.keys}, other.keys) == ({"Bearer first"}, ["Bearer second"])


async def test_the_state_of_one_provider_goes_to_no_other(provider: Provider, heard: Heard) -> None:
    provider.scripts = [played("chat", thoughts=["hm"], call=["{}"]), *[played("chat", "Hi")] * 2]
    row, other_row = (evolve(BUILT_IN["openai-chat"], name=name, url=provider.url, key=KEY) for name in "ab")
    async with closing(row.open("m", None, {})) as first, closing(other_row.open("m", None, {})) as second:
        items = (MessageItem("user", "1"), *items_of(await first.respond(a_turn(), heard)))
        for model in (first, second):
            await model.respond(a_turn(*items), heard)
    assert ["reasoning_content" in str(request) for request in provider.requests] == [False, True, False]


VERTEX = "/projects/x/locations/r/publishers/anthropic/models/m:streamRawPredict"


@pytest.mark.parametrize(
    ("api", "client", "row", "path"),
    [
        ("chat", "azure", {"api_version": "v"}, "/openai/deployments/m/chat/completions?api-version=v"),
        ("messages", "foundry", {}, "/v1/messages"),
        ("messages", "vertex", {"region": "r", "project": "x"}, VERTEX),
    ],
)
async def test_a_clouds_client_is_asked(
    provider: Provider, heard: Heard, api: str, client: str, row: dict[str, str], path: str
) -> None:
    provider.scripts = [played(api, "Hi")]
    async with closing(opened(url=provider.root, key=KEY, client=client, **row)) as model:
        reply = await model.respond(a_turn(settings=ModelSettings(effort="high")), heard)
        with pytest.raises(ModelUnavailable, match="no list"):
            await model.known_models()
    assert (reply.text, provider.requests[0]["path"]) == ("Hi", path)


@pytest.mark.parametrize(("name", "off"), [("openai-chat:tiny", "openai"), ("anthropic:tiny", "anthropic")])
def test_a_model_whose_extension_is_off_is_a_sentence(name: str, off: str) -> None:
    sentence = f"the model {name} needs the extension {off}, which is off: have it on by the setting `extensions`"
    with pytest.raises(ExtensionFault, match=f"^{sentence}"):
        Models(name, 0.0, extensions=chosen([f"-{off}"]))
