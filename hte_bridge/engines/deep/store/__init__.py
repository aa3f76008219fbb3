"""What every room stands on: threads, linear algebra on a device, arrays in files, checkpoints."""
