"""What runs when, and who is told: jobs, schedules, sensors, forked runs, alerts."""
