"""Kubernetes text for an advice: a strategic-merge patch of the Deployment."""

from __future__ import annotations

import math
import re


def patch(service: str, request: float, limit: float, replicas: int | None = None) -> str:
    """A patch that sets memory request and limit in bytes, and `replicas` when given.

    Apply with `kubectl patch deployment NAME --patch-file FILE`. Name and container are the service's name
    in Kubernetes' spelling.
    """
    name = dns_label(service)
    lines = ["apiVersion: apps/v1", "kind: Deployment", "metadata:", f"  name: {name}", "spec:"]
    if replicas is not None:
        lines.append(f"  replicas: {replicas}")
    lines += [
        "  template:",
        "    spec:",
        "      containers:",
        f"        - name: {name}",
        "          resources:",
        "            requests:",
        f"              memory: {quantity(request)}",
        "            limits:",
        f"              memory: {quantity(limit)}",
    ]
    return "\n".join(lines) + "\n"


def quantity(size: float) -> str:
    """`size` bytes in Mi, rounded up."""
    return f"{math.ceil(size / (1 << 20))}Mi"


def dns_label(name: str) -> str:
    """`name` as an RFC 1123 label, quoted where YAML would read a number or a flag."""
    label = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:63].strip("-") or "service"
    return label if re.match(r"[a-z]", label) and label not in _YAML_WORDS else f'"{label}"'


_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
