"""API Priority and Fairness: who is served at once, who waits in which queue, who is told to come back (KEP-1040).

reads: flow schemas and priority levels, the sizes of lists, the number of watchers
writes: the Dangling condition of flow schemas
start here: control.py, then level.py
to add one: a way to estimate work is a branch of work.py
"""
