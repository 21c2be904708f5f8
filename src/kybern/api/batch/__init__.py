"""The group batch, v1: one kind per file, and what their rules and controllers share."""
