"""What other people's calendar libraries make of .ics files.

    calendars.py accept FILE...           icalendar and vobject must read each; prints what was refused
    calendars.py expand FROM TO FILE...   the occurrences between two instants (UTC, ISO), as JSON lines
                                          [start, end, summary], days as they are, times in UTC
"""

import datetime
import json
import sys

import icalendar
import recurring_ical_events
import vobject


def accept(files):
    refused = {}
    for name in files:
        with open(name, "rb") as file:
            data = file.read()
        try:
            calendar = icalendar.Calendar.from_ical(data)
            for event in calendar.walk("VEVENT"):
                if event.errors:
                    raise ValueError(event.errors)
            one = vobject.readOne(data.decode())
            one.validate(raiseException=True)
            assert len(one.contents["vevent"]) == len(calendar.walk("VEVENT"))
            # What it makes of it again is still a calendar.
            icalendar.Calendar.from_ical(one.serialize())
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
