"""What goes into the topic: message files, demo traffic, and the producer that sends either."""
