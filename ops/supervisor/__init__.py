"""Supervision: the programs as supervisord runs them, in the demo and in production alike."""
