"""Tools for tests of actors: probes to talk to them, all of them fit for virtual time."""

from .probe import Probe as Probe
from .probe import ProbeFailure as ProbeFailure
