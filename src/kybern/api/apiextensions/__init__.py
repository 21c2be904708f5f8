"""The group apiextensions.k8s.io, v1: definitions of custom kinds, and the kinds they make."""
