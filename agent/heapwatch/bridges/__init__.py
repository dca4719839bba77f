"""The agent's metrics on what the host has already: its Prometheus page, its OpenTelemetry MeterProvider."""
