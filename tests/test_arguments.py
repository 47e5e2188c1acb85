"""What Hydra would answer with a traceback is answered in one line."""

import subprocess
import sys

import pytest

from src.arguments import check_overrides
from src.errors import UserError


@pytest.mark.parametrize("argument", ["=1", "==", "=a=b"])
def test_a_key_is_missing(argument):
    with pytest.raises(UserError, match=r"^=.*a key is missing before ="):
        check_overrides(["seed=1", argument])


@pytest.mark.parametrize("value", ["3", "true", "null", "0.5", "sgd,3"])
def test_a_group_takes_a_name(value):
    with pytest.raises(UserError, match=r"^optimizer=.*choose from adafactor, adam"):
        check_overrides([f"optimizer={value}"])


@pytest.mark.parametrize(
    "argument", ["optimizer=sgd,adam", "seed=3", "-m", "--cfg=job", "~model", "data.path=a=b"]
)
def test_the_rest_is_left_to_hydra(argument):
    check_overrides([argument])


def test_help_imports_next_to_nothing():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['src.train', '--help']\n"
        "try: runpy.run_module('src.train', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pydantic', 'tensorflow', 'mlflow', 'rich'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "optimizer: " in done.stdout
