"""What stands in for servers in tests that start none. Each module says what it leaves out."""
