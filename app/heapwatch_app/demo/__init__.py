"""The whole product on the reference app: collector, app, load, a fault, analyzer, verdict."""
