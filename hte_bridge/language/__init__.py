"""What users write, by a grammar of our own: conditions, formulas and the values in them, with unknown values as a third truth."""
