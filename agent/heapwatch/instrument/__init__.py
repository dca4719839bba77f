"""Requests seen from inside: whose endpoint allocates, and how long each request takes."""
