"""Requests, answers and listings as Python values, and their conversion to and from the wire's messages."""
