"""Sections and notes of a report."""
