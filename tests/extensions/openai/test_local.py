"""Models of this machine: what programs offer is found, and one is used at once and after a restart."""

from pathlib import Path

import pytest

from tests.rigs.model_provider import Provider, port_of
from transport.wire.errors import CommandRejected
from understudy.extensions.openai.local import FILE, MAX_MODELS, LocalModels, find_models, names_in
from understudy.models.registry import Models


@pytest.mark.parametrize(
    ("listing", "names"),
    [
        # As Ollama 0.12, llama.cpp's server and LM Studio 0.3 answer.
        (b'{"object":"list","data":[{"id":"qwen3:8b","object":"model","owned_by":"library"}]}', ["qwen3:8b"]),
        (b'{"models":[],"object":"list","data":[{"id":"local.gguf","meta":{"n_params":1}}]}', ["local.gguf"]),
        (b'{"data":[{"id":"text-embedding-nomic"},{"id":"gemma-3-4b"},{"id":""}],"object":"list"}', ["gemma-3-4b"]),
        (b'{"data":[]}', []),
        (b"<html>", []),
        (b'{"data":"none"}', []),
        (b'{"data":[{"name":"x"}]}', []),
        (b"\xff", []),
    ],
)
def test_names_are_those_of_models_that_answer(listing: bytes, names: list[str]) -> None:
    assert names_in(listing) == names


def test_a_long_listing_is_cut() -> None:
    listed = ",".join(f'{{"id":"m{n}"}}' for n in range(1_000))
    assert len(names_in(f'{{"data":[{listed}]}}'.encode())) == MAX_MODELS


async def test_what_programs_offer_is_found() -> None:
    with Provider() as first, Provider() as other:
        first.models, other.models = {"a": {}, "b": {}}, {"c": {}}
        ports = {port_of(first): "Ollama", 1: "nothing", port_of(other): "LM Studio"}
        models = await find_models(ports)
        urls = [first.url, first.url, other.url]
    assert [(offer.server, offer.model) for offer in models] == [("Ollama", "a"), ("Ollama", "b"), ("LM Studio", "c")]
    assert [offer.url for offer in models] == urls


async def test_a_choice_is_kept(tmp_path: Path) -> None:
    models = Models("offline", 0.0)
    with Provider() as program:
        program.models = {"qwen3:8b": {}}
        port = port_of(program)
        local = LocalModels(models, tmp_path, {port: "Ollama"})
        assert local.restore() == "offline"
        with pytest.raises(CommandRejected, match="has the model llama"):
            await local.use(port, "llama")
        assert await local.use(port, "qwen3:8b") == "openai-chat:qwen3:8b"
    assert models.default == "openai-chat:qwen3:8b"
    assert models.of(None) is models.of("openai-chat:qwen3:8b")
    again = Models("offline", 0.0)
    assert LocalModels(again, tmp_path).restore() == "openai-chat:qwen3:8b"
    assert again.default == "openai-chat:qwen3:8b"
    await models.aclose()
    await again.aclose()


@pytest.mark.parametrize("content", ["", "[]", '{"server": "x"}', '{"server": "x", "port": "y", "model": "z"}'])
def test_a_choice_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert LocalModels(Models("offline", 0.0), tmp_path).restore() == "offline"
