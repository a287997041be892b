"""What runs when, and who is told: jobs, schedules, sensors, forked runs, alerts.

It writes no click, metric or document itself: the steps that its jobs call do.
"""
