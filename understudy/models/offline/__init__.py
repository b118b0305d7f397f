"""The offline model: rules in place of a language model, for a first start, for tests and for benchmarks.

It sees only what a provider sees, and calls nothing over a network.
"""

from understudy.models.offline.model import OfflineModel as OfflineModel
