"""Tools for tests of actors: probes, virtual time, one actor alone, seeded chaos, and whole systems simulated.

The fixtures are in `actors.testing.plugin`. The runtime imports nothing from here.
"""

from .chaos import ChaosRun as ChaosRun
from .chaos import chaos as chaos
from .chaos import replay as replay
from .clock import advance as advance
from .clock import eventually as eventually
from .clock import settle as settle
from .clock import virtual_time as virtual_time
from .effects import Asked as Asked
from .effects import Effect as Effect
from .effects import KillOrdered as KillOrdered
from .effects import Outlived as Outlived
from .effects import Refused as Refused
from .effects import Replied as Replied
from .effects import SaidHealthy as SaidHealthy
from .effects import Spawned as Spawned
from .effects import StopOrdered as StopOrdered
from .effects import Stopped as Stopped
from .effects import TaskStarted as TaskStarted
from .effects import TimerCancelled as TimerCancelled
from .effects import TimerSet as TimerSet
from .effects import Told as Told
from .effects import Unhandled as Unhandled
from .effects import Unwatched as Unwatched
from .effects import Watched as Watched
from .fakes import FakeRef as FakeRef
from .faults import ChaosFault as ChaosFault
from .faults import Fault as Fault
from .faults import FaultKind as FaultKind
from .faults import Rates as Rates
from .faults import dump_faults as dump_faults
from .faults import load_faults as load_faults
from .probe import Capture as Capture
from .probe import DeadLetterProbe as DeadLetterProbe
from .probe import EventProbe as EventProbe
from .probe import Probe as Probe
from .probe import ProbeFailure as ProbeFailure
from .recorder import Recorder as Recorder
from .recorder import WouldWait as WouldWait
from .simulation import SimulationFailed as SimulationFailed
from .simulation import SimulationStuck as SimulationStuck
from .simulation import Trace as Trace
from .simulation import seeded as seeded
from .simulation import simulate as simulate
from .simulation import simulate_many as simulate_many
