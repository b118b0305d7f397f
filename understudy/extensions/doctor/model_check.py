"""Checks whether a server could use the model that a setting names."""

from collections.abc import Mapping

import trio

from understudy.extension import Extension
from understudy.models.inquiry import Inquiry, ask_provider
from understudy.models.providers import OFFLINE, Providers, find_provider
from understudy.storage.errors import ExtraNotInstalled


def inquire(
    name: str, providers: Providers, extensions: Mapping[str, Extension] | None = None, *, ask: bool = True
) -> Inquiry:
    """Check the extension of a model (one of `extensions`, those that are on), its package and its key, and, unless
    `ask` is False, that its provider has the model. Blocks."""
    if name == OFFLINE:
        return Inquiry(
            "note",
            "no language model is connected: forms, starters and arithmetic work; `serve --model openai:NAME` for one",
        )
    try:
        provider, model = find_provider(name, providers)
        client = provider.open(model, None, {}, extensions)
    except (ExtraNotInstalled, ValueError) as error:
        return Inquiry("mend", str(error))
    if not ask:
        return Inquiry("ok", f"{name}, with a key; the provider was not asked")

    async def ask_once() -> Inquiry:
        try:
            return await ask_provider(name, client)
        finally:
            with trio.CancelScope(shield=True):
                await client.aclose()

    return trio.run(ask_once)
