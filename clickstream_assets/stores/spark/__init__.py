"""Spark Connect, and what all steps on Spark share. What a task computes is in the step's own package."""
