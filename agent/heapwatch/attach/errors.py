"""What is said when a process can't be attached to."""

from __future__ import annotations


class AttachError(Exception):
    """Nothing was changed in the process; the text says why, `mend` what to do."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


class NotPython(AttachError):
    """The process runs something else."""


class ForksPastPython(AttachError):
    """The process is uWSGI's master, where a thread of ours could hang the workers that it forks."""
