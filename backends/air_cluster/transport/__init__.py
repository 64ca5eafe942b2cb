"""Sockets and the loop that serves them."""
