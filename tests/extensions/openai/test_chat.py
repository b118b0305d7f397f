"""What only chat completions have: usage in any chunk, a server that loads its model."""

import pytest

from tests.rigs.heard import Heard
from tests.rigs.model_apis import talking
from tests.rigs.model_provider import Provider, Script, chunk, end_chunk, text_chunk, usage_chunk
from tests.rigs.model_turns import OVER_SDK, a_turn
from understudy.models.model import ModelUnavailable, ReasoningDelta, TextDelta, Usage, UsageSoFar

pytestmark = OVER_SDK


async def test_usage_that_is_reported_before_the_end_is_emitted(provider: Provider, heard: Heard) -> None:
    counted = usage_chunk(40, 9)
    counted["usage"] |= {"prompt_tokens_details": {"cached_tokens": 30}}
    counted["usage"] |= {"completion_tokens_details": {"reasoning_tokens": 5}}
    chunks = [chunk({"reasoning_content": "Hm. "}), text_chunk("Hel"), usage_chunk(7, 1), text_chunk("lo.")]
    provider.scripts = [Script([*chunks, end_chunk("stop"), counted])]
    async with talking(provider) as model:
        reply = await model.respond(a_turn(), heard)
    expected = [UsageSoFar(Usage(7, 1, 1)), TextDelta("lo.")]
    assert heard.events == [ReasoningDelta("Hm. "), TextDelta("Hel"), *expected]
    assert (reply.text, reply.reasoning) == ("Hello.", "Hm. ")
    assert reply.usage == Usage(40, 9, 1, cached=30, reasoning=5)


async def test_a_server_that_loads_its_model_is_waited_for(
    provider: Provider, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.extensions.openai.chat.AGAIN_S", 0.01)
    loading = Script(status=503, error={"code": 503, "message": "Loading model", "type": "unavailable_error"})
    provider.scripts = [*[loading] * 6, Script([text_chunk("Hello."), end_chunk("stop")])]
    async with talking(provider) as model:
        assert (await model.respond(a_turn(), heard)).text == "Hello."
    assert heard.thoughts == ["The language model is starting"]
    async with talking(provider, first_token_s=0.2) as model:
        await model.known_models()  # so that the time of making the client does not count
        provider.scripts = [loading] * 1_000
        with pytest.raises(ModelUnavailable, match="failed"):
            await model.respond(a_turn(), heard)
