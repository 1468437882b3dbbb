"""What must be true of the tables, a Great Expectations suite each.

A run stops if an expectation of CRITICAL does not hold. One of WARNING is only reported.
"""
