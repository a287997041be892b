"""Spark Connect, and what all steps on Spark share."""
