"""Kinds of surface: smooth, edged, along one index, a sum of curves; each says its correlation, its gradient and its prior."""
