"""Profiles turned into what people read: tables, flame graphs, and the formats of other tools."""
