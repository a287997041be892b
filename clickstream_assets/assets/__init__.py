"""The assets, a module each: connect, do, report. What they do is one call into ``domain``."""
