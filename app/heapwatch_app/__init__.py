"""The reference service: a small photo site in Flask, with load, and with faults that can be switched on."""
