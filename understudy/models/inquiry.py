"""Checks with a provider that a configured model can be used. It requests only the list of models, which is free."""

import difflib
import logging
from collections.abc import Mapping
from typing import Final, Literal

import trio
from attrs import frozen

from understudy.models.model import LOADS, ModelFault, ModelUnavailable
from understudy.models.providers import ProviderModel

log = logging.getLogger(__name__)

ASK_S: Final = 10.0
"""Seconds for a provider to answer."""

LEVELS: Final = {"note": logging.INFO, "mend": logging.WARNING}
"""Levels at which a server logs inquiries when it starts, by their state."""


@frozen
class Inquiry:
    """The outcome of a check of a model, as a sentence. `state` is one of those of `understudy doctor`."""

    state: Literal["ok", "note", "mend"]
    text: str


async def ask_provider(name: str, client: ProviderModel) -> Inquiry:
    """Check that the provider of the model `name` answers, accepts the key and knows the model."""
    began, model = trio.current_time(), name.partition(":")[2]
    try:
        with trio.fail_after(ASK_S):
            names = await client.known_models()
    except trio.TooSlowError:
        return Inquiry("mend", f"{name}: the provider did not answer within {ASK_S:g} s")
    except ModelUnavailable as error:
        return _failed(name, client.provider.key_variable, error)
    took = f"answered in {(trio.current_time() - began) * 1000:.0f} ms"
    if not any(model == offered or offered.endswith(f"/{model}") for offered in names):
        near = difflib.get_close_matches(model, names, 3, 0.5)
        hint = f"; it has {', '.join(near)}" if near else ""
        return Inquiry("mend", f"{name}: the provider {took} and accepts the key, but does not know the model{hint}")
    return Inquiry("ok", f"{name}: the provider {took}, accepts the key and knows the model")


def _failed(name: str, variable: str, error: ModelUnavailable) -> Inquiry:
    """Return the outcome of a failed request. It never quotes the provider, whose text may contain anything."""
    if LOADS in error.detail:
        return Inquiry("note", f"{name}: the server is starting, and loads its model")
    match error.fault:
        case ModelFault.ADDRESS:
            return Inquiry(
                "note", f"{name}: the server answers, but has no list of models; the first message will tell"
            )
        case ModelFault.KEY:
            return Inquiry("mend", f"{name}: the provider refused the key in {variable}")
        case ModelFault.ACCOUNT:
            return Inquiry("mend", f"{name}: the account at the provider is used up")
        case ModelFault.BUSY:
            return Inquiry("note", f"{name}: the provider answers that it has too many requests now")
    reached = "failed" if any(part.isdecimal() for part in error.detail.split()) else "cannot be reached"
    return Inquiry("mend", f"{name}: the provider {reached} ({error.detail})")


async def log_not_ready(clients: Mapping[str, ProviderModel]) -> None:
    """Check these models, by name, and log those that cannot be used. A server does this when it starts."""
    for name, client in clients.items():
        inquiry = await ask_provider(name, client)
        if inquiry.state != "ok":
            log.log(LEVELS[inquiry.state], "model.not_ready", extra={"model": name, "detail": inquiry.text})
