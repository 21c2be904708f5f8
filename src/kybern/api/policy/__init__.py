"""The group policy, v1: disruption budgets and evictions."""
