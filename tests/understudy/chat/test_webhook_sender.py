"""The delays between two attempts to deliver a webhook; the sender itself is run in `end_to_end/test_webhooks.py`."""

import random

from understudy.chat.webhook_sender import delay_s


def test_delays_grow_to_an_hour_and_vary() -> None:
    chance = random.Random(7)
    delays = [delay_s(attempt, chance) for attempt in range(1, 40)]
    assert 4 <= delays[0] <= 6
    assert 12 <= delays[1] <= 18
    assert max(delays) <= 3600 * 1.2
    assert min(delays[8:]) >= 3600 * 0.8
    assert len(set(delays)) == len(delays)
