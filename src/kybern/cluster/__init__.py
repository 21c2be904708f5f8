"""What makes a cluster of the parts: up, down, certificates, images.

reads: the machine
writes: the data directory, child processes, images
start here: up.py
to add one: a command is a file with add_flags and run, plus a row in __main__.COMMANDS
"""
