"""Rows about two engines: their differences, who predicts better, where they part, and why."""
