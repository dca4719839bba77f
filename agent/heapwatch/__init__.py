"""Always-on memory observability for Python services."""
