"""The control socket: one per process, for the command line of the same user on the same machine."""
