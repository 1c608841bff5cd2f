"""From a config to a workdir: settings, files, tuning, rendering, lists."""
