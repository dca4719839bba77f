"""The `heapwatch` command."""

from heapwatch.cli.parser import main

__all__ = ["main"]
