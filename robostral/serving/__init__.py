"""Serving policies over ZeroMQ: hot frames of fixed layout, JSON handshake, CURVE keys with an allow-list."""
