import pytest

from decode_stream.stream.units import UNITS, handy_unit, unit_factor, unit_symbol


@pytest.mark.parametrize(
    ("text", "type_", "symbol"),
    [
        ("microvolts", "eeg", "uV"),
        ("Microvolt", "eeg", "uV"),
        ("\u00b5V", "eeg", "uV"),
        ("\u03bcV", "eeg", "uV"),
        ("UV", "eeg", "uV"),
        ("mV", "eeg", "mV"),
        ("volts", "eeg", "V"),
        ("Tesla", "mag", "T"),
        ("femtotesla", "mag", "fT"),
        ("teslas per meter", "grad", "T/m"),
        ("fT/cm", "grad", "fT/cm"),
        ("-6", "eeg", "uV"),
        ("0", "mag", "T"),
        ("-15", "mag", "fT"),
        ("0", "grad", "T/m"),
        ("0", "stim", ""),
        ("-15", "eeg", ""),
        ("MV", "eeg", ""),
        ("degC", "misc", ""),
        ("", "eeg", ""),
    ],
)
def test_units_are_read_in_any_spelling(text: str, type_: str, symbol: str) -> None:
    assert unit_symbol(text, type_) == symbol


@pytest.mark.parametrize(
    ("have", "want", "factor"),
    [
        ("V", "uV", 1e6),
        ("uV", "V", 1e-6),
        ("fT", "pT", 1e-3),
        ("T/m", "fT/cm", 1e13),
        ("", "", 1.0),
        ("degC", "degC", 1.0),
        ("", "uV", None),
        ("T", "V", None),
        ("T", "T/m", None),
    ],
)
def test_factors_stand_between_units_of_one_kind(have: str, want: str, factor: float | None) -> None:
    assert unit_factor(have, want) == (factor if factor is None else pytest.approx(factor, rel=1e-15))


@pytest.mark.parametrize("symbol", UNITS)
def test_every_unit_is_known_by_its_name_and_has_a_handy_one(symbol: str) -> None:
    assert unit_symbol(UNITS[symbol].word.title()) == symbol
    assert unit_factor(symbol, handy_unit(symbol)) is not None


def test_a_unit_unknown_stays_as_it_is() -> None:
    assert handy_unit("degC") == "degC"
