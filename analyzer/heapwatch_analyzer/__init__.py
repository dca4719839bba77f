"""Judges what the collector holds: leaks, anomalies, forecasts, recommendations and advice on size."""
