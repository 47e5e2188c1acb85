"""`python -m src.effects`: its table, and its errors."""

import numpy as np
import pytest

from src import effects
from src.measures.settings import Measure

TINY = ("data=digits", "model=linear", "jit=false", "epochs=2", "data.normalisation=range")


@pytest.fixture
def run(capsys, tensorflow, tmp_path):
    """Run the command in this process: its exit code, what it printed, its error."""

    def call(*overrides):
        code = effects.main([f"outputs={tmp_path}", *overrides])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.mark.slow
@pytest.mark.parametrize("seeds", ["[0]", "[0,3]"])
def test_a_row_for_each_kind_of_step(run, seeds):
    quick = ("measure.rows=100", "measure.power_iterations=5", "measure.attack_iterations=2")
    given = (*TINY, *quick, "kinds=[standard,adversarial]", f"seeds={seeds}")
    code, out, _ = run(*given)

    assert code == 0
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert table[0] == (
        "| step | test accuracy | calibration error | robust accuracy | sharpness |"
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert [row[0] for row in rows] == ["standard", "adversarial"]
    figures = np.array([[float(cell.split(" +- ")[0]) for cell in row[1:]] for row in rows])
    accuracy, calibration, robust, sharpness = figures.T
    assert (robust < accuracy).all()
    assert robust[1] > robust[0]  # it was trained for that
    assert (accuracy > 0.5).all()
    assert ((calibration > 0) & (calibration < 0.5)).all()
    assert (sharpness > 0).all()
    assert (
        run(*given)[1].splitlines()[-4:] == out.splitlines()[-4:]
    )  # equal commands, equal figures


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["step=sam"], "step=sam: the kinds of step are compared"),
        (["seed=1"], "seed=1: the kinds of step are compared"),
        (["seeds=[1,1]"], "seeds=[1, 1]: give each seed once"),
        (["kinds=[]"], "kinds=[]: list should have at least 1 item"),
        (["kinds=[samm]"], "Could not find 'step/samm'"),
        (["+keys.standard.rho=1"], "Could not override 'step.rho'"),
        (["measure.bins=0"], "measure.bins=0: input should be greater than 0"),
        (["measure.bin=3"], "Could not override 'measure.bin'"),
        (["epochs=0"], "epochs=0: input should be greater than 0"),
        (
            [*TINY, "kinds=[standard]", "data.labels=one_hot", "loss=mean_squared_error"],
            "loss: these measures are of classes",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(run, overrides, said):
    code, _, err = run(*overrides)

    assert code == 2
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert said in err


def test_the_measures_settings_know_their_limits():
    with pytest.raises(ValueError, match="epsilon"):
        Measure(bins=1, epsilon=-1.0, attack_iterations=1, rows=1, power_iterations=1)
