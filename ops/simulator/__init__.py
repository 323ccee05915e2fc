"""The rented world on one machine: a marketplace of GPU boxes to rehearse with, its faults included, at no cost."""
