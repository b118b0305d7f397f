"""Fixtures: a local provider, and a record of the events that a model emits."""

from tests.rigs.heard import api as api
from tests.rigs.heard import heard as heard
from tests.rigs.heard import provider as provider
