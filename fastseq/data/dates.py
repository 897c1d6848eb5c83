"""The date task: a date as people write it, to its ISO 8601 form.

``Tuesday, August 19, 2003`` becomes ``2003-08-19``. In the textbook's format a line has 29 + 11
characters. Every text that can be drawn means one date only: where the month is a number, the
separator tells the order (``2/10/93`` is month, day, year; ``10.02.1993`` day, month, year;
``1993/02/10`` year, month, day), and the dates span less than a century, so that two digits name
the year.
"""

import operator
from dataclasses import dataclass
from datetime import date

import numpy as np

QUESTION_WIDTH = len("Wednesday, September 27, 2000")
ANSWER_WIDTH = len("_2000-09-27")

FIRST_DAY = date(1970, 1, 1)
LAST_DAY = date(2029, 12, 31)

# English whatever the locale, which is why strftime is not used.
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class WrittenForm:
    """One way to write a date.

    Attributes
    ----------
    template : for `str.format`, with the fields weekday, wkd (the weekday's first three letters),
        month, mon, m, mm (number, padded number), d, dd, yy (last two digits), yyyy
    letters : "Title", "UPPER" or "lower"
    weight : how often it is drawn, relative to the others

    Examples
    --------
    >>> from datetime import date
    >>> from fastseq.data.dates import WrittenForm
    >>> form = WrittenForm("{wkd}, {dd} {mon} {yyyy}", letters="UPPER", weight=1.0)
    >>> form.write(date(2003, 8, 9))
    'SAT, 09 AUG 2003'
    """

    template: str
    letters: str
    weight: float

    def write(self, day: date) -> str:
        """Write one date in this form.

        Parameters
        ----------
        day : datetime.date

        Returns
        -------
        str
        """
        month, weekday = _MONTHS[day.month - 1], _WEEKDAYS[day.weekday()]
        text = self.template.format(
            weekday=weekday,
            wkd=weekday[:3],
            month=month,
            mon=month[:3],
            m=day.month,
            mm=f"{day.month:02}",
            d=day.day,
            dd=f"{day.day:02}",
            yy=f"{day.year % 100:02}",
            yyyy=day.year,
        )
        if self.letters == "UPPER":
            return text.upper()
        return text.lower() if self.letters == "lower" else text


_MIXED = ("Title", "UPPER", "lower")
_PLAIN = ("Title",)
_FORMS = (
    ("{month} {d}, {yyyy}", 25, _MIXED),
    ("{mon} {d}, {yyyy}", 18, _MIXED),
    ("{weekday}, {month} {d}, {yyyy}", 13, _MIXED),
    ("{month} {d} {yyyy}", 2, _PLAIN),
    ("{d} {month} {yyyy}", 3, _PLAIN),
    ("{dd} {mon} {yyyy}", 4, _PLAIN),
    ("{weekday}, {d} {month} {yyyy}", 2, _PLAIN),
    ("{wkd}, {dd} {mon} {yyyy}", 3, _PLAIN),
    ("{m}/{d}/{yy}", 10, _PLAIN),
    ("{dd}.{mm}.{yyyy}", 8, _PLAIN),
    ("{yyyy}/{mm}/{dd}", 12, _PLAIN),
)
FORMS = tuple(
    WrittenForm(template, letters, weight / len(cases))
    for template, weight, cases in _FORMS
    for letters in cases
)

MAX_COUNT = 365_655
"""How many different texts there are: every form of every day, less those that coincide in May."""


def generate(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Draw dates in mixed written forms, no text twice.

    The day is uniform over `FIRST_DAY` … `LAST_DAY`, the form follows the weights of `FORMS`. One
    day may come again in another form or in other letters, never in the same text.

    Parameters
    ----------
    count : how many, 0 … `MAX_COUNT`
    seed : of a generator of its own. The same seed gives the same dates, and a smaller `count` the
        first of them; NumPy's global generator is neither read nor changed.

    Returns
    -------
    pairs : list of (written form, ISO form), like ``("Sep 27, 1994", "1994-09-27")``

    Raises
    ------
    ValueError
        `count` is negative, or there are not that many different texts.

    Examples
    --------
    >>> from fastseq.data import dates
    >>> pairs = dates.generate(3, seed=0)
    >>> len(pairs), [len(iso) for _, iso in pairs]
    (3, [10, 10, 10])
    >>> pairs == dates.generate(1000, seed=0)[:3]
    True
    """
    count = operator.index(count)
    if not 0 <= count <= MAX_COUNT:
        raise ValueError(
            f"count: expected 0 to {MAX_COUNT}, the number of different texts, got {count}"
        )
    first = FIRST_DAY.toordinal()
    days = LAST_DAY.toordinal() - first + 1
    weights = np.array([form.weight for form in FORMS])
    # Weighted drawing without repetition: in ascending order of exponential times of these rates.
    # Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.
    times = np.random.default_rng(seed).exponential(size=(days, len(FORMS))) / weights
    pairs: dict[str, str] = {}  # by text: "May 6, 1999" is also the short form
    for drawn in np.argsort(times, axis=None, kind="stable"):
        if len(pairs) == count:
            break
        offset, form = divmod(int(drawn), len(FORMS))
        day = date.fromordinal(first + offset)
        pairs[FORMS[form].write(day)] = day.isoformat()
    return list(pairs.items())
