"""The collector room: receives profiles and metrics, stores them, answers queries, serves the page."""
