from src.benchmarks.rounds import interleave


def test_rounds_are_interleaved():
    order: list[str] = []
    said: list[str] = []

    def measure(name):
        order.append(name)
        return float(len(order))

    turns = {name: lambda name=name: measure(name) for name in "ABC"}
    samples = interleave(turns, 2, said.append)
    assert "".join(order) == "ABCABC"
    assert samples == {"A": [1, 4], "B": [2, 5], "C": [3, 6]}
    assert said == ["round 1 of 2", "round 2 of 2"]
