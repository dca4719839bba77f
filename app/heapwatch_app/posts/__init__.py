"""Posts: photos with captions, their likes and comments."""
