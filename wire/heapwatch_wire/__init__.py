"""The contracts room: what the agent, the collector, the analyzer, the alerts and the dashboards agree on.

Nothing here imports anything outside the standard library, except `heapwatch_wire.proto`, which the
server rooms use to read what arrives and which needs `protobuf`.
"""
