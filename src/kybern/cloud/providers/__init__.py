"""The clouds, a file each, found by name: `create(config)` makes the Provider of a configuration."""
