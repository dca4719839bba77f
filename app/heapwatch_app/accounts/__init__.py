"""Accounts: sign-up, login, logout, the viewer of a request, and editing one's own profile."""
