"""A local stand-in for Azure, AKS clusters and managed Prometheus.

It is a process of its own and imports nothing of the rest of mnslib: a mistake shared by client
and emulator would cancel out. `server.serve` and `launcher.ensure_running` start it; importing
this package loads nothing heavy.
"""
