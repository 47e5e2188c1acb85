"""Messages between the chief and a worker."""

import socket
import struct
import time

import numpy as np
import pytest

from src.workers import channel
from src.workers.channel import Channel, Lost


@pytest.fixture
def pair():
    server = socket.create_server(("127.0.0.1", 0))
    ends = [socket.create_connection(server.getsockname()), server.accept()[0]]
    server.close()
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def channels(pair):
    made = [Channel(end, 10) for end in pair]
    yield made
    for each in made:
        each.close()


def test_fields_and_arrays_arrive_as_they_were_sent(channels):
    one, other = channels
    arrays = {
        "scalar": np.array(3, np.int64),
        "flags": np.array([True, False]),
        "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "none": np.zeros((0, 4), np.int32),
    }
    one.send("run", arrays, start=7, name="é")
    one.send("end")
    fields, received = other.receive()
    assert fields == {"kind": "run", "start": 7, "name": "é"}
    assert received.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(received[name], array)
        assert received[name].dtype == array.dtype
        assert received[name].shape == array.shape
    assert other.receive() == ({"kind": "end"}, {})


def test_signs_of_life_keep_a_silent_channel_open(pair, monkeypatch):
    monkeypatch.setattr(channel, "BEAT_SECONDS", 0.02)
    one, other = Channel(pair[0], 10), Channel(pair[1], 0.3)
    began = time.monotonic()
    while time.monotonic() - began < 0.6:
        time.sleep(0.02)
    one.send("late")
    assert other.receive()[0] == {"kind": "late"}
    one.close()
    other.close()


def test_silence_is_a_loss(pair):
    # Its own signs of life, one a second, say nothing of the other side.
    listening = Channel(pair[0], 0.1)
    with pytest.raises(Lost, match=r"silent for 0\.1 s"):
        listening.receive()
    listening.close()


def test_a_closed_connection_is_a_loss(channels):
    channels[0].close()
    with pytest.raises(Lost, match="closed the connection"):
        channels[1].receive()
    with pytest.raises(Lost):
        channels[0].send("anything")


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("<IQ", 3, 0) + b"abc",
        struct.pack("<IQ", 2, 0) + b"{}",
        struct.pack("<IQ", 2, 0) + b"[]",
        struct.pack("<IQ", 15, 4) + b'{"kind": "run"}' + b"abcd",
    ],
    ids=["another protocol", "no JSON", "no kind", "no mapping", "no safetensors"],
)
def test_what_is_no_message_is_a_loss(pair, content):
    listening = Channel(pair[0], 5)
    pair[1].sendall(content)
    with pytest.raises(Lost, match="no worker of this program"):
        listening.receive()
    listening.close()
