"""The group authorization.k8s.io, v1: what a user may do. Nothing here is stored."""
