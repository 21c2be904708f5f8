"""The group scheduling.k8s.io: priority classes; workloads and their groups of pods."""
