"""Where every byte of a process's memory is: its mappings, and RSS divided into parts."""
