"""Social: profiles, following, finding people, and news of what others did."""
