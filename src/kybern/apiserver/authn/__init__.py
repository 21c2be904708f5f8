"""Who is asking: authenticators, asked in order until one knows the credential.

reads: the client's certificate, the Authorization header, service accounts and what tokens are bound to
writes: nothing; a UserInfo
start here: bearer.py (tokens), x509.py (certificates), impersonation.py (acting as someone else)
to add one: a class with `authenticate(request)`, or one with `user(token, audiences)` for bearer.py
"""
