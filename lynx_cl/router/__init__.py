"""The router: which bank answers a request, in closed form from statistics kept per task."""
