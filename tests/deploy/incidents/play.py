"""Plays incidents side by side, and tells how long each alert took to fire beyond its own `for`, and to clear."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import trio
import yaml
from attrs import frozen

from tests.deploy.incidents.causes import CAUSES, Cause, Incident, node_down
from tests.deploy.incidents.site import Site, quick_rules
from tests.rigs.server_pair import token_of
from tests.servers.prometheus import Prometheus

NOBODY_SERVES: Final = "UnderstudyNobodyServes"
WITHIN_S: Final = 60.0
"""Longest time from a cause to its alert, and from its end until that is gone, also on a busy machine."""
AGAIN_S: Final = 240.0
ASKED_S: Final = 0.2
OPERATOR: Final = token_of("op", roles=("operator",))
AT_ONCE: Final = 6
"""Incidents at once: each has a node or two, which take a second of processor time to start."""


@frozen
class Played:
    """How long an alert took from its cause until it fired beyond its own `for`, and from the end until it cleared."""

    alert: str
    fired_s: float
    cleared_s: float


async def play_all(folder: Path, alerts: Iterable[str] = (*CAUSES, NOBODY_SERVES)) -> list[Played]:
    """Play the incidents of these alerts, with all data in a folder.

    One whose alert was missed is played again, unless `AGAIN_S` have passed: a busy machine may miss a short moment.

    Raises:
        trio.TooSlowError: An alert did not fire, or did not clear, in time; its name is in the message.
    """
    rules = quick_rules()
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
    waits = {rule["alert"]: float(rule.get("for", "0s")[:-1]) for rule in rules["groups"][0]["rules"]}
    played: list[Played] = []
    limiter, again_until = trio.CapacityLimiter(AT_ONCE), trio.current_time() + AGAIN_S
    with Prometheus(folder / "prometheus", [], [folder / "alerts.yml"], OPERATOR) as prometheus:
        site = Site(folder, prometheus)

        async def one(alert: str, cause: Cause) -> None:
            missed = True
            while missed:
                async with limiter:
                    missed = False
                    try:
                        played.append(await play(site, alert, waits[alert], cause))
                    except* trio.TooSlowError:
                        missed = trio.current_time() < again_until
                        if not missed:
                            raise

        async with trio.open_nursery() as nursery:
            for alert, cause in CAUSES.items():
                if alert in alerts:
                    nursery.start_soon(one, alert, cause)
        if NOBODY_SERVES in alerts:  # of all nodes: by itself
            played.append(await play(site, NOBODY_SERVES, waits[NOBODY_SERVES], node_down))
    return played


async def play(site: Site, alert: str, for_s: float, cause: Cause) -> Played:
    """Play one incident. `for_s` is how long the rule waits. Raises `trio.TooSlowError`."""
    async with trio.open_nursery() as nursery, cause(site, nursery) as incident:
        await _until(site, alert, incident, fires=True)
        fired_s = trio.current_time() - incident.began - for_s
        await incident.end()
        ended = trio.current_time()
        await _until(site, alert, incident, fires=False)
        cleared_s = trio.current_time() - ended
        nursery.cancel_scope.cancel()
    return Played(alert, fired_s, cleared_s)


async def _until(site: Site, alert: str, incident: Incident, *, fires: bool) -> None:
    with trio.move_on_after(WITHIN_S) as limit:
        while await trio.to_thread.run_sync(site.firing, alert, incident.node) is not fires:  # noqa: ASYNC110 - asked of another process
            await trio.sleep(ASKED_S)
    if limit.cancelled_caught:
        log = (incident.node.folder / "log").read_text()[-2_000:]
        raise trio.TooSlowError(f"{alert} did not {'fire' if fires else 'clear'} within {WITHIN_S:.0f} s: {log}")
