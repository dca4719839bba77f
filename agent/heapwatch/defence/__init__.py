"""Keeps a process from running out of memory: limits, refused load, workers that leave in time."""
