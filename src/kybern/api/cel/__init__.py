"""CEL, the Common Expression Language, with the functions that Kubernetes adds to it.

reads: expressions, the types of their variables, and plain JSON values.
writes: programs, their values, and what is wrong with them in upstream's words.
start here: program.py: `compiled(text, {"object": "dyn"}).evaluate({"object": pod})`.
to add one: a function is an entry of FUNCTIONS in a file of functions/; a new file also goes into library.py's list.
"""
