"""Jobs composed quickly are those that Hydra composes."""

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from src.composition import SweepConfigLoader
from tests.conftest import hydra_open


@pytest.fixture
def loaders():
    """Hydra's loader, the quick one, and the configuration of the multirun."""
    with hydra_open():
        slow = GlobalHydra.instance().config_loader()
        overrides = ["hydra.sweep.dir=somewhere", "data=random"]
        master = slow.load_configuration("config", overrides, RunMode.MULTIRUN)
        yield slow, SweepConfigLoader(slow), master


@pytest.mark.parametrize(
    "overrides",
    [
        ["data=random", "optimizer.learning_rate=0.1", "seed=1"],
        ["seed=1", "optimizer=adam", "optimizer.beta_1=0.5", "optimizer.clipnorm=1.0"],
        ["~model.activation", "data=digits", "name='a b,c'", "model.hidden=[3,4]"],
        ["++optimizer.anything={a:1}", "optimizer={learning_rate:0.5}"],
        ["tracking=none", "loss=huber", "experiment=digits_mlp", "epochs=3"],
        ["hydra.job.name=x", "seed=3"],
        [],
    ],
)
def test_equal_to_hydras(loaders, overrides):
    slow, quick, master = loaders
    expected = slow.load_sweep_config(master, overrides)
    for _ in range(2):  # made, and made again from a template
        found = quick.load_sweep_config(master, overrides)
        assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)
        assert OmegaConf.is_struct(found)
        assert OmegaConf.is_readonly(found.hydra) == OmegaConf.is_readonly(expected.hydra)
        found.seed = 99  # the job's own, not the template's


@pytest.mark.parametrize(
    "overrides",
    [["nope=1"], ["optimizer=nope"], ["optimizer.nope=1"], ["seed=1,2"], ["+seed=3"]],
)
def test_the_same_complaints(loaders, overrides):
    slow, quick, master = loaders
    with pytest.raises(HydraException) as expected:
        slow.load_sweep_config(master, overrides)
    with pytest.raises(type(expected.value)) as found:
        quick.load_sweep_config(master, overrides)
    assert str(found.value) == str(expected.value)


def test_values_of_one_job_are_not_those_of_the_next(loaders):
    _, quick, master = loaders
    assert quick.load_sweep_config(master, ["optimizer.learning_rate=0.5"]).seed == 0
    assert quick.load_sweep_config(master, ["seed=5"]).optimizer.learning_rate == 0.1


def test_jobs_that_choose_the_same_files_share_a_composition(loaders, monkeypatch):
    _, quick, master = loaders
    composed = []
    original = SweepConfigLoader.load_configuration

    def counted(self, **arguments):
        composed.append(arguments["overrides"])
        return original(self, **arguments)

    monkeypatch.setattr(SweepConfigLoader, "load_configuration", counted)
    for seed in range(5):
        quick.load_sweep_config(master, ["optimizer=adam", f"seed={seed}"])
    quick.load_sweep_config(master, ["optimizer=sgd", "seed=1"])
    shared = ["hydra.sweep.dir=somewhere"]
    assert composed == [[*shared, "optimizer=adam"], [*shared, "optimizer=sgd"]]


def test_what_was_composed_first_is_taken_over_once(loaders):
    _, quick, master = loaders
    first = quick.load_sweep_config(master, ["seed=1"])
    again = quick.load_sweep_config(master, ["seed=1"])  # another job, alike
    taken = [quick.take(master, ["seed=1"]) for _ in range(3)]
    assert {id(each) for each in taken[:2]} == {id(first), id(again)}
    assert len({id(each) for each in taken}) == 3
    assert taken[2] == first
