"""Advice on size: memory request and limit of an instance, and how many instances."""

from .advice import advise

__all__ = ["advise"]
