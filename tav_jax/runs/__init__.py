"""A config becomes a workdir: settings, jobs, lists, tuning, rendering."""
