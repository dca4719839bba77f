"""What `heapwatch top` shows: readings of agents, the view made of them, and the view as text."""
