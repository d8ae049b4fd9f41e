"""Draws the pictures and the report page of a feedbench result file. Entry point: scripts/plot."""
