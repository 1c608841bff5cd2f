"""Loss, step, optimizer, checkpoints and the loop. Networks are functions."""
