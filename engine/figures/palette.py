"""What each colour means, on every page, in light and in dark (after Okabe and Ito, 2008)."""

from typing import NamedTuple


class Role(NamedTuple):
    """A meaning and how it is drawn: never by colour alone, so it has a dash and a marker too."""

    light: str
    dark: str
    dash: str  # solid, dash, dot
    marker: str  # dot, ring, square, cross


ROLES = {
    "data": Role("#0072B2", "#5BB4F0", "solid", "dot"),
    "model": Role("#C2500A", "#FF8A47", "solid", "dot"),
    "truth": Role("#00805B", "#2FCF9D", "dash", "ring"),
    "adversary": Role("#B0508A", "#EBA0CB", "dot", "cross"),
    "prior": Role("#2A78AB", "#8FD0FA", "dot", "ring"),
    "old": Role("#0072B2", "#5BB4F0", "solid", "dot"),
    "new": Role("#966300", "#F2B530", "dash", "square"),
    "second": Role("#966300", "#F2B530", "dash", "square"),
    "third": Role("#B0508A", "#EBA0CB", "dot", "cross"),
    "muted": Role("#6B7280", "#9AA4B2", "dot", "ring"),
    "ink": Role("#1F2937", "#E7EBF2", "solid", "dot"),
}
CATEGORIES = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#8C6D31",
    "#6A51A3",
    "#637939",
    "#7F7F7F",
)


def colour(role: str, dark: bool = False) -> str:
    """The hex colour of a meaning."""
    return ROLES[role].dark if dark else ROLES[role].light
