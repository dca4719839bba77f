"""The numbers from which on something is called bad, in one place.

Alert rules fire at them and dashboards draw their lines from them, so that the two never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value in the UCUM unit `unit` ("1" is a ratio); what `of` describes is bad `bad` it."""

    value: float
    unit: str
    bad: Literal["above", "below"]
    of: str


MEMORY_HIGH = Threshold(0.70, "1", "above", "working set over memory limit")
MEMORY_CRITICAL = Threshold(0.85, "1", "above", "working set over memory limit")
MEMORY_GROWTH = Threshold(100e6 / 3600, "By/s", "above", "growth of the resident set (100 MB an hour)")
LEAK_GROWTH = Threshold(0.0, "By/s", "above", "growth of an allocation site proved to leak")
LIMIT_NEAR = Threshold(6 * 3600.0, "s", "below", "forecast time until the memory limit")
LIMIT_IMMINENT = Threshold(3600.0, "s", "below", "forecast time until the memory limit")
GC_PAUSE_LONG = Threshold(0.050, "s", "above", "99th percentile of a generation's pauses")
GC_PAUSE_SEVERE = Threshold(0.100, "s", "above", "99th percentile of a generation's pauses")
GC_UNCOLLECTABLE = Threshold(0.0, "{object}", "above", "objects an hour that no collection can free")
FRAGMENTATION = Threshold(0.25, "1", "above", "memory held and unused over memory held by the allocators")
OUT_OF_MEMORY = Threshold(0.0, "{event}", "above", "processes killed for lack of memory")
DEFENCE_EXHAUSTED = Threshold(1.0, "{state}", "above", "state of a process's defence (2 sheds, 3 drains)")
DEFENCE_SHEDDING = Threshold(0.0, "{request}", "above", "requests that the defence refused")
DEFENCE_STOPPING = Threshold(0.0, "{request}", "above", "requests that were stopped over their limit")
DEFENCE_DRAINING = Threshold(5.0, "{worker}", "above", "workers of a service that took leave in an hour")
AGENT_DROPPED = Threshold(0.0, "{delivery}", "above", "deliveries that the agent lost")
SAMPLER_DROPPED = Threshold(0.0, "{sample}", "above", "samples that the sampler lost")
SAMPLER_DISPLACED = Threshold(0.0, "{sampler}", "above", "samplers whose hooks another tool displaced")
COLLECTOR_UP = Threshold(1.0, "{page}", "below", "whether the collector's page could be read")
UPLOAD_FAILURES = Threshold(0.01, "1", "above", "uploads answered with a server error over all uploads")
FEED_DURATION = Threshold(0.500, "s", "above", "95th percentile of the feed's requests")
CACHE_HITS = Threshold(0.85, "1", "below", "cache hits over lookups")
DATABASE_FAILURES = Threshold(0.0, "{failure}", "above", "database connections that failed")
STORAGE_USED = Threshold(0.85, "1", "above", "used space over size of a file system")
TRAFFIC_SURGE = Threshold(3.0, "1", "above", "request rate of 5 minutes over that of the last hour")
TRAFFIC_DROP = Threshold(0.3, "1", "below", "request rate of 5 minutes over that of the last hour")
