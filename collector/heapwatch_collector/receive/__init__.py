"""What comes in: profiles, metrics and documents, decoded, checked and handed to the store."""
