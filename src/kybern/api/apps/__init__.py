"""The group apps, v1: one kind per file."""
