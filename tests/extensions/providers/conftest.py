"""Fixtures: a local provider, and a record of the events that a model emits."""

from tests.understudy.models.conftest import api as api
from tests.understudy.models.conftest import heard as heard
from tests.understudy.models.conftest import provider as provider
