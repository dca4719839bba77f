"""Switchable faults: memory leaks of the kinds that real services have, off unless somebody switches them on.

None changes what users see. `FAULTS` says of each what a profiler should find.
"""

from heapwatch_app.faults.catalog import FAULTS, Fault

__all__ = ["FAULTS", "Fault"]
