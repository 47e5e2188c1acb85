import json

import pytest

from src.tracking.paths import inside, write_json_atomically


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../x", "", ".", "..", "a\0b", "..\\x", "link/x", "link"],
)
def test_names_cannot_leave_their_folder(tmp_path, name):
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=r"path inside|outside"):
        inside(folder, name)


@pytest.mark.parametrize("name", ["a", "a/b.png", "a b/..c", "ä"])
def test_names_inside_are_taken(tmp_path, name):
    assert inside(tmp_path, name) == tmp_path.resolve() / name


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    write_json_atomically(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json_atomically(path, {"a": {1, 2}})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
