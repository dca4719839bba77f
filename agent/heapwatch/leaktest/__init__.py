"""Decides whether a piece of code leaks: runs it many times in a child process and looks at what survives.

`runner` starts the child and waits for it, `child` is what runs there, `position` says where in the file it
is; `measure` records live memory by allocation site and birth, `verdict` decides from the record, `culprits`
names sites, types and holders.
"""
