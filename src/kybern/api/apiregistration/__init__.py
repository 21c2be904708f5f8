"""The group apiregistration.k8s.io, v1: API services."""
