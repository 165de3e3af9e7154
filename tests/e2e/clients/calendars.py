"""What other people's libraries make of .ics and .vcf files.

    calendars.py accept FILE...           icalendar and vobject must read each; prints what was refused
    calendars.py expand FROM TO FILE...   the occurrences between two instants (UTC, ISO), as JSON lines
                                          [start, end, summary], days as they are, times in UTC
"""

import datetime
import gc
import json
import sys

import icalendar
import recurring_ical_events
import vobject

# Components are trees with links to their parents; at Python's own rate a fifth of the time goes into looking
# for rings among them.
gc.set_threshold(100_000, 50, 50)

KINDS = ("VEVENT", "VTODO", "VCARD")


def accept_one(data):
    read = icalendar.Component.from_ical(data)
    for component in read.walk():
        if component.errors:
            raise ValueError(component.errors)
    (one,) = vobject.readComponents(data.decode())
    one.validate(raiseException=True)
    if one.name == "VCARD":
        assert "FN" in read and one.fn.value is not None, "no line for the name"
        vobject.readOne(one.serialize())
        return
    for kind in KINDS:
        assert len(one.contents.get(kind.lower(), [])) == len(read.walk(kind)), kind
    assert any(read.walk(kind) for kind in KINDS), "there is nothing in it"
    # What it makes of it again is still a calendar.
    icalendar.Calendar.from_ical(one.serialize())


def accept(files):
    refused = {}
    for name in files:
        with open(name, "rb") as file:
            data = file.read()
        try:
            accept_one(data)
        except Exception as error:  # whatever it is, it is a refusal
            refused[name] = repr(error)
    print(json.dumps(refused))


def moment(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return value.isoformat()


def expand(begin, end, files):
    begin, end = (datetime.datetime.fromisoformat(text) for text in (begin, end))
    found = []
    for name in files:
        with open(name, "rb") as file:
            calendar = icalendar.Calendar.from_ical(file.read())
        for event in recurring_ical_events.of(calendar).between(begin, end):
            stop = event.end
            found.append([moment(event.start), moment(stop), str(event.get("SUMMARY", ""))])
    print(json.dumps(sorted(found)))


if __name__ == "__main__":
    if sys.argv[1] == "accept":
        accept(sys.argv[2:])
    else:
        expand(sys.argv[2], sys.argv[3], sys.argv[4:])
