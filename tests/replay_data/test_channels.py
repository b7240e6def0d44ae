import mne
import pytest

from decode_stream.replay_data.formats.channels import guess_type, select_channels
from decode_stream.stream.errors import RecordingError
from decode_stream.stream.types import Channel

CHANNELS = (Channel("Oz"), Channel("ref", "ref_meg"), Channel("M1", "mag"), Channel("AUX", "misc"))


def test_every_electrode_of_mnes_10_05_montage_is_eeg() -> None:
    # The name of the montage depends on mne's version.
    montage = next(name for name in mne.channels.get_builtin_montages() if name.endswith("_1005"))
    names = mne.channels.make_standard_montage(montage).ch_names
    assert len(names) > 300
    assert [name for name in names if guess_type(name) != "eeg"] == []


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        *[(name, "eeg") for name in ("tp9", "EEG Oz", "Ch 3", "EXG Channel 0", "EEG001")],
        *[("HEOG", "eog"), ("ECG", "ecg"), ("EKG1", "ecg"), ("EMG left", "emg")],
        *[(name, "misc") for name in ("Right AUX", "Counter", "Packet", "X1", "gyro_x", "Battery")],
    ],
)
def test_type_is_told_from_the_name(name: str, type_: str) -> None:
    assert guess_type(name) == type_


def test_modality_keeps_its_channels() -> None:
    assert select_channels(CHANNELS, "r", (), None) == (0, 1, 2, 3)
    assert select_channels(CHANNELS, "r", (), "eeg") == (0,)
    assert select_channels(CHANNELS, "r", ("M1",), "meg") == (1,)


def test_what_cannot_be_selected_is_said() -> None:
    with pytest.raises(RecordingError, match=r"no channel 'aux' to leave out.* Did you mean 'AUX'"):
        select_channels(CHANNELS, "r", ("aux",), None)
    with pytest.raises(RecordingError, match="no EEG channel left to read; it holds 1 eeg, 1 ref_meg"):
        select_channels(CHANNELS, "r", ("Oz",), "eeg")
    with pytest.raises(RecordingError, match="no FMRI channel left to read; it holds 1 eeg"):
        select_channels(CHANNELS, "r", (), "fmri")
