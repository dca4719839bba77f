"""Load: made-up people and photos, and journeys of many users over HTTP."""
