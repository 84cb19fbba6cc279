"""What a user can ask of a rendering."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Of `grambench report`."""

    co2_per_kwh: float | None = None
    """Grams of CO2e a kilowatt-hour, the user's own factor; None: no CO2e is shown."""
    figure: str | None = None
    """The only figure that is drawn; None: all."""
