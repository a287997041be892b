"""What is run: by the sensor, by the schedule, by people."""
