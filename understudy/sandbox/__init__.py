"""Processes for parsers and databases that handle text of users and models.

`spawner` starts them from the server, and `child` runs first in each: it limits the process, and confines it by the
program's own `confine(read, write)`, such as that of `analyst/confine.py`.

Other packages run programs of their own by the names that this package exports:

```python
from understudy.sandbox import MIB, Program, process_limiter, run

READER = Program("my_package.reader", memory=256 * MIB)

async with process_limiter().permit(READER.memory):
    ended = await run(READER, request, read=[path], cpu_s=10)
```
"""

from understudy.sandbox.limiters import FairLimiter as FairLimiter
from understudy.sandbox.limiters import QueueFull as QueueFull
from understudy.sandbox.limiters import RunLocal as RunLocal
from understudy.sandbox.spawner import MIB as MIB
from understudy.sandbox.spawner import Program as Program
from understudy.sandbox.spawner import process_limiter as process_limiter
from understudy.sandbox.spawner import run as run

__all__ = ["MIB", "FairLimiter", "Program", "QueueFull", "RunLocal", "process_limiter", "run"]
