"""The Kubernetes API server of each cluster: what it serves, admits, and lets happen."""
