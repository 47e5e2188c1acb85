"""Ways to train the same model on the same rows; each file is what a skilled user would write.

    python -m src.benchmarks.peers NAME      serves one of them: JSON requests in, answers out

All start from the same weights, see the same rows in the same number of batches and keep the same
metrics (mean loss and accuracy of the epoch). Data that fits in memory is theirs to keep there.
"""
