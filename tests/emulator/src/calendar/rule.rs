//! RRULE to a recurrence pattern, where Graph has one that falls on the same days.
//!
//! A rule that would fall on other days is refused with the reason, never bent: Exchange puts the 31st
//! on the last day of shorter months, RFC 5545 leaves such months out.

use calcard::icalendar::{
    ICalendarDay, ICalendarFrequency, ICalendarRecurrenceRule, ICalendarWeekday,
};
use jiff::civil::{Date, Time, Weekday};

use super::ics::time_of;
use super::record::Span;
use super::recurrence::{End, Kind, Recurrence};
use super::zone::Zone;

/// Why something is left out.
pub type Reason = &'static str;

fn weekday(day: ICalendarWeekday) -> Weekday {
    match day {
        ICalendarWeekday::Sunday => Weekday::Sunday,
        ICalendarWeekday::Monday => Weekday::Monday,
        ICalendarWeekday::Tuesday => Weekday::Tuesday,
        ICalendarWeekday::Wednesday => Weekday::Wednesday,
        ICalendarWeekday::Thursday => Weekday::Thursday,
        ICalendarWeekday::Friday => Weekday::Friday,
        ICalendarWeekday::Saturday => Weekday::Saturday,
    }
}

/// Reads the rule of an event that is at `span`.
pub fn read(rule: &ICalendarRecurrenceRule, span: &Span) -> Result<Recurrence, Reason> {
    let zone = &span.start_zone;
    let start = span.start.date();
    if !rule.bysecond.is_empty() || !rule.byminute.is_empty() || !rule.byhour.is_empty() {
        return Err("a rule within the day");
    }
    if !rule.byyearday.is_empty() || !rule.byweekno.is_empty() {
        return Err("a rule by days or weeks of the year");
    }
    if rule.rscale.is_some() {
        return Err("a rule of another calendar");
    }
    let mut out = Recurrence {
        kind: Kind::Daily,
        interval: i32::from(rule.interval.unwrap_or(1).max(1)),
        month: 0,
        day: 0,
        days: Vec::new(),
        first: rule.wkst.map_or(Weekday::Monday, weekday),
        index: 1,
        start,
        end: end(rule, span.start.time(), zone)?,
        zone: zone.clone(),
    };
    match rule.freq {
        ICalendarFrequency::Daily => daily(rule, &mut out)?,
        ICalendarFrequency::Weekly => weekly(rule, &mut out)?,
        ICalendarFrequency::Monthly => monthly(rule, &mut out)?,
        ICalendarFrequency::Yearly => yearly(rule, &mut out)?,
        _ => return Err("a rule within the day"),
    }
    // RFC 5545 counts the start even when the rule does not fall on it.
    let first = out.days(None).next();
    match first {
        Some(first) if first == start => Ok(out),
        Some(_) => Err("a start that is not a day of its rule"),
        None => Err("a rule that ends before it starts"),
    }
}

fn end(rule: &ICalendarRecurrenceRule, at: Time, zone: &Zone) -> Result<End, Reason> {
    if let Some(count) = rule.count {
        return Ok(End::After(count.max(1)));
    }
    let Some(until) = &rule.until else {
        return Ok(End::Never);
    };
    let (until, utc) = time_of(until).ok_or("an end that is no date")?;
    let whole_day = rule.until.as_ref().is_some_and(|u| u.hour.is_none());
    let until = match utc {
        Some(seconds) => zone.local(seconds),
        None => until,
    };
    // The occurrence of the last day counts when it begins in time.
    let day = until.date();
    let late = !whole_day && at > until.time();
    Ok(End::On(if late {
        day.yesterday().unwrap_or(day)
    } else {
        day
    }))
}

/// Weekdays without ordinals.
fn plain(days: &[ICalendarDay]) -> Result<Vec<Weekday>, Reason> {
    if days.iter().any(|d| d.ordwk.is_some_and(|n| n != 0)) {
        return Err("numbered weekdays where Graph has none");
    }
    Ok(days.iter().map(|d| weekday(d.weekday)).collect())
}

fn no_positions(rule: &ICalendarRecurrenceRule) -> Result<(), Reason> {
    match rule.bysetpos.is_empty() {
        true => Ok(()),
        false => Err("positions in a set where Graph has none"),
    }
}

fn daily(rule: &ICalendarRecurrenceRule, out: &mut Recurrence) -> Result<(), Reason> {
    no_positions(rule)?;
    if !rule.bymonth.is_empty() || !rule.bymonthday.is_empty() {
        return Err("a daily rule in some months or on some days only");
    }
    if rule.byday.is_empty() {
        return Ok(());
    }
    if out.interval != 1 {
        return Err("a daily rule in some months or on some days only");
    }
    out.kind = Kind::Weekly;
    out.days = plain(&rule.byday)?;
    Ok(())
}

fn weekly(rule: &ICalendarRecurrenceRule, out: &mut Recurrence) -> Result<(), Reason> {
    no_positions(rule)?;
    if !rule.bymonth.is_empty() || !rule.bymonthday.is_empty() {
        return Err("a weekly rule in some months only");
    }
    out.kind = Kind::Weekly;
    out.days = plain(&rule.byday)?;
    if out.days.is_empty() {
        out.days.push(out.start.weekday());
    }
    Ok(())
}

/// The day of the month; what Exchange and RFC 5545 disagree on is refused.
fn month_day(rule: &ICalendarRecurrenceRule, start: Date) -> Result<i8, Reason> {
    match (&rule.bymonthday[..], &rule.bysetpos[..]) {
        ([-1], []) | ([28, 29, 30, 31], [-1]) => Ok(31),
        ([], []) if start.day() <= 28 => Ok(start.day()),
        ([day], []) if (1..=28).contains(day) => Ok(*day),
        ([], []) | ([29..=31], []) => Err("a day that some months do not have"),
        _ => Err("several days of a month"),
    }
}

/// Weekdays, and which of them in the month: 1 to 4, or 5 for the last.
fn month_weekdays(rule: &ICalendarRecurrenceRule) -> Result<(Vec<Weekday>, u8), Reason> {
    let nth = |n: i32| match n {
        1..=4 => Ok(n as u8),
        -1 => Ok(5),
        _ => Err("a fifth weekday, or one counted from the end"),
    };
    match (&rule.byday[..], &rule.bysetpos[..]) {
        ([one], []) => match one.ordwk {
            Some(n) if n != 0 => Ok((vec![weekday(one.weekday)], nth(i32::from(n))?)),
            _ => Err("every such weekday of a month"),
        },
        (several, [position]) => Ok((plain(several)?, nth(*position)?)),
        _ => Err("several weekdays of a month"),
    }
}

fn monthly(rule: &ICalendarRecurrenceRule, out: &mut Recurrence) -> Result<(), Reason> {
    if !rule.bymonth.is_empty() {
        return Err("a monthly rule in some months only");
    }
    if rule.byday.is_empty() {
        out.kind = Kind::AbsoluteMonthly;
        out.day = month_day(rule, out.start)?;
        return Ok(());
    }
    if !rule.bymonthday.is_empty() {
        return Err("weekdays on certain days of a month");
    }
    out.kind = Kind::RelativeMonthly;
    (out.days, out.index) = month_weekdays(rule)?;
    Ok(())
}

fn yearly(rule: &ICalendarRecurrenceRule, out: &mut Recurrence) -> Result<(), Reason> {
    out.month = match &rule.bymonth[..] {
        [] => out.start.month(),
        [month] if !month.is_leap() => month.month() as i8,
        _ => return Err("several months of a year"),
    };
    if rule.byday.is_empty() {
        out.kind = Kind::AbsoluteYearly;
        let leap_day = out.month == 2;
        out.day = match (&rule.bymonthday[..], &rule.bysetpos[..]) {
            ([], []) if !leap_day => out.start.day(),
            ([day @ 1..=31], []) if !leap_day => *day,
            _ => month_day(rule, out.start)?,
        };
        return Ok(());
    }
    if rule.bymonth.is_empty() || !rule.bymonthday.is_empty() {
        return Err("weekdays of a whole year");
    }
    out.kind = Kind::RelativeYearly;
    (out.days, out.index) = month_weekdays(rule)?;
    Ok(())
}
