"""What a machine is: its configuration, and the profiles of its hardware."""
