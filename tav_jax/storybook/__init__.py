"""The wing of the drawn world: its pictures, datasets, judge and model."""
