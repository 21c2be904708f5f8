"""The group rbac.authorization.k8s.io, v1: roles and their bindings."""
