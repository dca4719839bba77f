"""Grafana dashboards as typed code: rendered to JSON, provisioned or installed over HTTP."""
