"""Hostile files: nothing that is loaded runs code, and no name leads out of its folder."""

import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import safetensors.numpy

from src.data import arrays, idx
from src.engine import checkpoint
from src.errors import UserError
from src.tracking.outstanding import load_delivery
from src.tracking.record import RunRecord
from src.tracking.tracker import Tracker
from tests.torture.bench import Bench
from tests.tracking.runs import Rows, deliver

SECRET = "not for others"


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.canary}'",)


class Corpus:
    """Hostile files in `folder`; each method makes one, loads it, and says what went wrong."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        folder.mkdir()
        self.canary = folder / "canary"
        self.secret = folder / "secret.txt"
        self.secret.write_text(SECRET)
        self.bomb = pickle.dumps(Bomb(self.canary))

    # -- checkpoints

    def checkpoint(self, last: bytes, **files: dict[str, object]) -> Path:
        """A checkpoint with this content and a fitting digest."""
        folder = self.folder / "00000003"
        folder.mkdir()
        (folder / checkpoint.LAST).write_bytes(last)
        digest: dict[str, object] = {
            "sha256": hashlib.sha256(last).hexdigest(),
            "bytes": len(last),
        }
        named = {checkpoint.LAST: digest, **files}
        manifest = {"format": checkpoint.FORMAT, "update": 3, "files": named, "progress": {}}
        (folder / checkpoint.MANIFEST).write_bytes(checkpoint._sealed(manifest))
        return folder

    def pickle_for_tensors(self) -> list[str]:
        return refused(
            checkpoint.CheckpointError, lambda: checkpoint.load(self.checkpoint(self.bomb))
        )

    def pickle_for_manifest(self) -> list[str]:
        folder = self.checkpoint(safetensors.numpy.save({"w": np.zeros(2)}))
        (folder / checkpoint.MANIFEST).write_bytes(self.bomb)
        return refused(checkpoint.CheckpointError, lambda: checkpoint.load(folder))

    def keras_lambda_for_tensors(self) -> list[str]:
        content = keras_lambda(self.canary)
        return refused(
            checkpoint.CheckpointError, lambda: checkpoint.load(self.checkpoint(content))
        )

    def manifest_that_climbs(self) -> list[str]:
        """Only the two files that a checkpoint has are ever opened."""
        digest = {"sha256": hashlib.sha256(SECRET.encode()).hexdigest(), "bytes": len(SECRET)}
        content = safetensors.numpy.save({"w": np.zeros(2)})
        folder = self.checkpoint(content, **{"../secret.txt": digest, "/etc/passwd": digest})
        loaded = checkpoint.load(folder)
        return [] if loaded.last.keys() == {"w"} and loaded.best is None else ["it was followed"]

    def manifest_without_tensors(self) -> list[str]:
        folder = self.checkpoint(b"")
        (folder / checkpoint.LAST).unlink()
        (folder / checkpoint.LAST).symlink_to(self.secret)
        return refused(checkpoint.CheckpointError, lambda: checkpoint.load(folder))

    def tensors_whose_names_climb(self) -> list[str]:
        """Names of tensors are names of variables; none is taken for a file."""
        tensors = {"../../escaped": np.zeros(2), f"{self.folder}/escaped": np.zeros(2)}
        loaded = checkpoint.load(self.checkpoint(safetensors.numpy.save(tensors)))
        return [] if loaded.last.keys() == tensors.keys() else ["they were changed"]

    def tensors_larger_than_the_file(self) -> list[str]:
        header = {"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}
        text = json.dumps(header).encode()
        content = len(text).to_bytes(8, "little") + text + b"\0" * 64
        return refused(
            checkpoint.CheckpointError, lambda: checkpoint.load(self.checkpoint(content))
        )

    def header_larger_than_the_file(self) -> list[str]:
        content = (2**62).to_bytes(8, "little") + b"{}"
        return refused(
            checkpoint.CheckpointError, lambda: checkpoint.load(self.checkpoint(content))
        )

    # -- data

    def arrays(self, name: str) -> list[str]:
        path = str(self.folder / name)
        return refused(
            UserError,
            lambda: arrays.load(path=path, task="auto", num_classes=None, streaming=False),
        )

    def objects_in_npz(self) -> list[str]:
        objects = np.array([Bomb(self.canary), 1], object)
        np.savez(self.folder / "a.npz", x=np.zeros((2, 3)), y=objects)
        return self.arrays("a.npz")

    def pickle_for_npz(self) -> list[str]:
        (self.folder / "a.npz").write_bytes(self.bomb)
        return self.arrays("a.npz")

    def pickle_in_npz(self) -> list[str]:
        with zipfile.ZipFile(self.folder / "a.npz", "w") as archive:
            archive.writestr("x.npy", self.bomb)
            archive.writestr("y.npy", self.bomb)
        return self.arrays("a.npz")

    def names_that_climb_in_npz(self) -> list[str]:
        buffer = io.BytesIO()
        np.save(buffer, np.zeros((4, 2)))
        with zipfile.ZipFile(self.folder / "a.npz", "w") as archive:
            for name in ("../escaped.npy", "/tmp/../escaped.npy", "x.npy"):
                archive.writestr(name, buffer.getvalue())
        return self.arrays("a.npz")

    def shape_larger_than_the_file(self) -> list[str]:
        buffer = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
        np.lib.format.write_array_header_1_0(buffer, header)
        with zipfile.ZipFile(self.folder / "a.npz", "w") as archive:
            archive.writestr("x.npy", buffer.getvalue())
            archive.writestr("y.npy", buffer.getvalue())
        return self.arrays("a.npz")

    def pickle_for_npy(self) -> list[str]:
        (self.folder / "data").mkdir()
        for name in ("x.npy", "y.npy"):
            (self.folder / "data" / name).write_bytes(self.bomb)
        return self.arrays("data")

    def keras_lambda_for_npz(self) -> list[str]:
        (self.folder / "a.npz").write_bytes(keras_lambda(self.canary))
        return self.arrays("a.npz")

    def sizes_larger_than_the_idx_file(self) -> list[str]:
        path = self.folder / "a.idx"
        path.write_bytes(bytes((0, 0, 8, 3)) + np.array([2**31, 2**31, 2**31], ">u4").tobytes())
        return refused(UserError, lambda: idx.read_idx(path, 3))

    # -- a run's folder that came from elsewhere

    def run(self, **lines: str) -> tuple[Path, Tracker]:
        folder = self.folder / "run"
        record = RunRecord(id="r", name="r", tracking_uri=self.uri, artifacts="none")
        record.claim(folder)
        tracker = Tracker(folder, record)
        tracker.begin()
        return folder, tracker

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def delivered(self, folder: Path, tracker: Tracker) -> list[str]:
        """Deliver it: the rest arrives, and nothing of what is outside."""
        tracker.end("FINISHED", "", 0, 0)
        shutil.copyfile(self.bench.database, self.folder / "mlflow.db")
        left = deliver(folder)
        stored = self.folder / "mlartifacts"
        leaked = [p for p in stored.rglob("*") if p.is_file() and SECRET in p.read_text("utf-8")]
        problems = [f"{path} holds what is outside" for path in leaked]
        [(_, _, status)] = Rows(self.folder / "mlflow.db").runs()
        if left or status != "FINISHED":
            problems.append(f"the rest did not arrive: {status} {left}")
        if not load_delivery(folder).get("error"):
            problems.append("nothing is said of it")
        return problems

    def artifacts_that_climb(self) -> list[str]:
        folder, tracker = self.run()
        for name in ("../../secret.txt", str(self.secret), "a/../../../secret.txt", "..", ""):
            tracker.journal.append("artifact", path=name)
        return self.delivered(folder, tracker)

    def artifact_that_links_outside(self) -> list[str]:
        folder, tracker = self.run()
        tracker.artifact_path("x").symlink_to(self.secret)
        tracker.journal.append("artifact", path="x")
        return self.delivered(folder, tracker)

    def model_that_climbs(self) -> list[str]:
        folder, tracker = self.run()
        outside = self.folder / "outside"
        outside.mkdir()
        (outside / "saved_model.pb").write_text(SECRET)
        for name in ("../outside", str(outside)):
            tracker.journal.append("model", path=name, input_shape=[1], output_shape=[1])
        return self.delivered(folder, tracker)

    def model_whose_example_is_a_pickle(self) -> list[str]:
        folder, tracker = self.run()
        (folder / "model").mkdir()
        (folder / "model" / "saved_model.pb").write_text("")
        np.save(folder / "example.npy", np.array([Bomb(self.canary)], object))
        tracker.journal.append(
            "model", path="model", input_shape=[1], output_shape=[1], input_example="example.npy"
        )
        return self.delivered(folder, tracker)

    def delivery_of_wrong_kinds(self) -> list[str]:
        """delivery.json is only a memory of how far it got: a senseless one starts again."""
        folder, tracker = self.run()
        tracker.metrics(1, {"train/loss": 1.0})
        tracker.end("FINISHED", "", 0, 0)
        shutil.copyfile(self.bench.database, self.folder / "mlflow.db")
        problems = []
        for key, value in (
            ("cursor", "far"),
            ("cursor", -5),
            ("seq", []),
            ("part", {}),
            ("run_id", 3),
        ):
            content: dict[str, object] = {"run_id": None, "cursor": 0, "part": 0, "seq": -1}
            content |= {"tracking_uri": self.uri, "status": "delivering", key: value}
            (folder / "delivery.json").write_text(json.dumps(content))
            left = deliver(folder)
            if left or load_delivery(folder).get("status") != "delivered":
                problems.append(f"{key}: {left}")
        return problems

    def configuration_that_runs_code(self, name: str) -> list[str]:
        folder = self.bench.tiny.undelivered_copy(self.folder / "copy")
        (folder / name).write_text(f"!!python/object/apply:os.system ['touch {self.canary}']\n")
        ended = self.bench.zygote.run("src.train", f"resume={folder}", "tracking=none")
        if ended.code != 2 or "Traceback" in ended.said:
            return [f"exit code {ended.code}: {ended.said[-400:]}"]
        return []

    def yaml_object_in_configuration(self) -> list[str]:
        return self.configuration_that_runs_code("config.yaml")

    def yaml_object_in_overrides(self) -> list[str]:
        return self.configuration_that_runs_code("overrides.yaml")


def refused(kind: type[Exception], load: Callable[[], object]) -> list[str]:
    """What is wrong unless `load` raises `kind`, in one line."""
    try:
        load()
    except kind as error:
        return [] if "\n" not in str(error) else [f"not one line: {error}"]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return ["it was taken"]


def keras_lambda(canary: Path) -> bytes:
    """A .keras file whose Lambda layer makes a file when it is loaded without safe mode."""
    import base64
    import marshal

    code = compile(f"__import__('os').system(\"touch '{canary}'\")", "lambda", "eval")
    layer = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "bomb",
            "function": {
                "class_name": "__lambda__",
                "config": {"code": base64.b64encode(marshal.dumps(code)).decode()},
            },
        },
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", json.dumps(layer))
        archive.writestr("metadata.json", "{}")
    return buffer.getvalue()


TRIALS = [
    name
    for name, member in vars(Corpus).items()
    if callable(member)
    and not name.startswith("_")
    and name not in ("checkpoint", "arrays", "run", "delivered", "configuration_that_runs_code")
]


def trial(bench: Bench, name: str, folder: Path) -> list[str]:
    """What is wrong after one hostile file was loaded."""
    corpus = Corpus(bench, folder)
    problems: list[str] = getattr(corpus, name)()
    if corpus.canary.exists():
        problems.append("its code was run")
    escaped = list(folder.parent.rglob("escaped*"))
    return problems + [f"{path} was written" for path in escaped]


def section(bench: Bench) -> Iterator[tuple[str, int, list[str]]]:
    """(promise, 1, what is wrong) of each hostile file."""
    for name in TRIALS:
        folder = bench.folder / f"hostile-{name}"
        yield (
            "hostile file: no code is run, no name leads out",
            1,
            [f"{name}: {problem}" for problem in trial(bench, name, folder)],
        )
        shutil.rmtree(folder, ignore_errors=True)
