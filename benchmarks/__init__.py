"""What the handler costs, measured beside a baseline that does what the Node handlers do."""
