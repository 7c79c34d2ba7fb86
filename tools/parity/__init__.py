"""Parity with the official code: one module a system, each with a function ``stages``."""
