"""Asks a provider about a model of a setting, without asking the model anything: that costs nothing."""

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
"""Levels of what is logged at the start, by the state of the finding."""


@frozen
class Inquiry:
    """What was found out about a model, as a sentence. `state` is `ok`, `note` or `mend`, as in `understudy doctor`."""

    state: Literal["ok", "note", "mend"]
    text: str


async def ask_provider(name: str, client: ProviderModel) -> Inquiry:
    """Ask the provider of a model of a setting, which has this `client`, for the models that it has."""
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
        perhaps = f"; it has {', '.join(near)}" if near else ""
        return Inquiry("mend", f"{name}: the provider {took} and accepts the key, but does not know the model{perhaps}")
    return Inquiry("ok", f"{name}: the provider {took}, accepts the key and knows the model")


def _failed(name: str, variable: str, error: ModelUnavailable) -> Inquiry:
    """Return the finding of a request that failed. The provider's own text is in none."""
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
    """Ask the providers of these models, by name, and log which cannot be used, as a server does when it starts."""
    for name, client in clients.items():
        inquiry = await ask_provider(name, client)
        if inquiry.state != "ok":
            log.log(LEVELS[inquiry.state], "model.not_ready", extra={"model": name, "detail": inquiry.text})
