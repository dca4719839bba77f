"""A diagnosis of a process: what is wrong with its memory, in plain words and by urgency."""
