"""Who may do what: authorizers, asked in the order of --authorization-mode until one has an opinion.

reads: a request's user and RequestInfo; roles, bindings, pods and the like through listers
writes: nothing; a Decision
start here: base.py, then rbac.py (compiled rules and the decision cache), node.py
to add one: a file with an `Authorizer`, and its name in base.py's `MODES` user, gates.py
"""
