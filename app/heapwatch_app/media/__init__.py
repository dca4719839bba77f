"""Media: checking and resizing uploaded photos, keeping and serving the results."""
