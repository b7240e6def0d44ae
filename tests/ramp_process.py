"""Play a ramp whose channel 0 carries the sample number; orders come as JSON, the end as end of input."""

import json
import sys
import threading

import msgspec
import numpy as np

from decode_stream.replay_data.arrays import ArrayRecording
from decode_stream.replay_data.player import Player
from decode_stream.replay_data.player_config import PlayerConfig
from decode_stream.stream.types import Channel, Gap


def main() -> None:
    orders = json.loads(sys.argv[1])
    n_samples, n_channels = orders.get("n_samples", 101), orders.get("n_channels", 3)
    data = np.zeros((n_samples, n_channels))
    data[:, 0] = np.arange(n_samples)
    recording = ArrayRecording(
        data,
        tuple(Channel(f"c{i}", "eeg", "uV", (0.01 * i, 0.05, 0.09)) for i in range(n_channels)),
        orders.get("sfreq_hz", 256.0),
        tuple((sample, label) for sample, label in orders.get("markers", ())),
        tuple(Gap(start, n_lost, "loss", 0.0) for start, n_lost in orders.get("gaps", ())),
        name="ramp",
    )
    stop = threading.Event()
    player = Player(recording, msgspec.convert(orders.get("config", {}), PlayerConfig))
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    print(json.dumps([player.source_id, player.marker_source_id]), flush=True)
    player.run(stop)


main()
