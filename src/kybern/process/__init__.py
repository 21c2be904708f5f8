"""What every daemon shares: flags, logging, metrics, health, TLS, the clock, signals.

reads: the command line, the time
writes: log lines to stderr
start here: clock.py, then daemon.py
to add one: a file here, once three components need it
"""
