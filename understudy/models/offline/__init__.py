"""The offline model: rules in place of a language model."""

from understudy.models.offline.provider import OfflineModel as OfflineModel
