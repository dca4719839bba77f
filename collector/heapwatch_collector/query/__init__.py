"""What is asked: the Pyroscope query API and our own JSON API."""
