"""Alerts: one table of rules, rendered for Prometheus and Alertmanager or evaluated embedded."""
