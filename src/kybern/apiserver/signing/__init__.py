"""Service account tokens that another process signs."""
