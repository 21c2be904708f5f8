"""The group networking.k8s.io, v1: ingresses and their classes, network policies, service ranges and addresses."""
