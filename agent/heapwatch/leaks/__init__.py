"""Which sites grow, and what holds their objects."""

from heapwatch.leaks.tracker import LeakTracker

__all__ = ["LeakTracker"]
