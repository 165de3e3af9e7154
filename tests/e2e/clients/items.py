"""What .ics and .vcf files say, read by other people's libraries.

    items.py FILE...    prints a JSON list: of each file what an event, a task or a contact is known by;
                        days as they are, an event's times in UTC, a task's in the zone they are in
"""

import base64
import datetime
import json
import sys

import icalendar
import vobject


def moment(value):
    if isinstance(value, datetime.datetime) and value.tzinfo:
        value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return value.isoformat()


def wall(component, name):
    value = component.get(name)
    if value is None:
        return None
    value = value.dt
    return (value.replace(tzinfo=None) if isinstance(value, datetime.datetime) else value).isoformat()


def text(component, name):
    return str(component.get(name, ""))


def several(component, name):
    value = component.get(name, [])
    return value if isinstance(value, list) else [value]


def categories(component):
    return sorted(str(one) for part in several(component, "categories") for one in part.cats)


def every(component):
    rule = component.get("rrule")
    return [str(rule["FREQ"][0]), int(rule.get("INTERVAL", [1])[0])] if rule else None


def event(component):
    return {
        "uid": text(component, "uid"),
        "name": text(component, "summary"),
        "start": moment(component.start),
        "end": moment(component.end),
        "location": text(component, "location"),
        "attendees": sorted(str(one).lower().removeprefix("mailto:") for one in several(component, "attendee")),
        "categories": categories(component),
        "free": text(component, "transp") == "TRANSPARENT",
        "every": every(component),
    }


def task(component):
    return {
        "name": text(component, "summary"),
        "start": wall(component, "dtstart"),
        "due": wall(component, "due"),
        "status": text(component, "status"),
        "priority": int(component.get("priority", 5)),
        "categories": categories(component),
        "reminded": bool(component.walk("VALARM")),
        "every": every(component),
    }


def card(parsed):
    def values(name):
        return [one.value for one in parsed.contents.get(name, [])]

    def first(name):
        return (values(name) or [""])[0]

    name = first("n")
    photo = first("photo")
    return {
        "name": first("fn"),
        "names": [name.family, name.given, name.additional, name.prefix],
        "nick": first("nickname"),
        "emails": values("email"),
        "phones": sorted(values("tel")),
        "company": (first("org") or [""])[0],
        "title": first("title"),
        "note": first("note"),
        "birthday": first("bday"),
        "categories": sorted(one for part in values("categories") for one in part),
        "photo": base64.b64encode(photo).decode() if photo else None,
    }


def read(name):
    with open(name, "rb") as file:
        data = file.read()
    if name.endswith(".vcf"):
        return card(vobject.readOne(data.decode()))
    (component,) = icalendar.Calendar.from_ical(data).walk("VEVENT") or icalendar.Calendar.from_ical(data).walk("VTODO")
    return event(component) if component.name == "VEVENT" else task(component)


print(json.dumps([read(name) for name in sys.argv[1:]]))
