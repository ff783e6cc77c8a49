"""What the daemon costs, measured beside a baseline that does what the Node handlers do."""
