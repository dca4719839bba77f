"""Feed: what the viewer sees first, and what is new everywhere."""
