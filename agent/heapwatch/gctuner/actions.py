"""The kinds of things that the tuner does."""

KINDS = ("thresholds", "young", "idle", "full", "freeze", "unfreeze", "pressure", "undo", "restore")
FREQUENT = frozenset({"young", "idle", "full"})
