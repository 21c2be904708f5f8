"""What an object costs of its namespace's ResourceQuotas; admission charges by it, the quota controller adds it up.

reads: objects and quotas, as they are handed in
writes: nothing
start here: evaluator.py (the contract, and the count that every kind has), registry.py (which kind has which)
to add one: a file here with an `Evaluator`, and its line in registry.py
"""
