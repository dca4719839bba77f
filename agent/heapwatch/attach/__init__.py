"""Starts the agent in a Python process that runs already, without a debugger.

`process` says whether it can be done, `images` finds functions in its memory, `ptrace` holds one of its
threads, `inject` has it start one more, which runs `payload`; `attaching` waits for what that reports.
"""
