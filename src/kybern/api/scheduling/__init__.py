"""The group scheduling.k8s.io, v1: priority classes."""
