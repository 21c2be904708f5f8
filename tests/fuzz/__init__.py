"""Random input, without end where wanted: `make fuzz` runs all of it for minutes, the suite a little of each.

reads: what the server publishes of itself, and the functions that read what clients send.
writes: what broke, and docs/reliability.md's section "Fuzzing" with how much was tried.
start here: run.py, then targets.py (functions of bytes) and openapi.py (requests).
to add one: a function in targets.py and some seeds for it.
"""
