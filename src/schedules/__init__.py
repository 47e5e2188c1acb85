"""Schedules: the factor on `optimizer.learning_rate` as a pure function of the update.

Each file has one `factor(update, *, total_updates, ...)`. `update` holds how many updates were done
before, from 0; a factor depends on that number and the arguments alone, so a resumed run, a run
cut into calls of any length and a fused sweep all see the same rates. NumPy alone, float64.
"""
