"""Servers that this one asks: admission and conversion webhooks, and the services behind aggregated APIs.

reads: configurations of webhooks, Services and EndpointSlices
writes: requests to servers outside
start here: client.py (one call), services.py (where a Service is)
to add one: hand a clientConfig to `Hooks.hook` and post to what it gives
"""
