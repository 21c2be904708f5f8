"""The group storagemigration.k8s.io: writing again what is stored in an older version."""
