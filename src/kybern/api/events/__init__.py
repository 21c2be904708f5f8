"""The group events.k8s.io, v1: events, which share their storage with the core group's."""
