//! How a site writes a moment. Forms take it as a person of that region would type it, to the minute. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// The order of day, month and year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    MonthDayYear,
    DayMonthYear,
    YearMonthDay,
}

/// A region's way, from a site's `RegionalSettings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    order: Order,
    /// Between the parts of the day, and between those of the time.
    separators: (String, String),
    /// Words for before and after noon; `None`: the day has 24 hours.
    halves: Option<(String, String)>,
}

/// `CalendarType` of the calendar that everything else here is about.
const GREGORIAN: u64 = 1;

impl Form {
    /// `None`: a site that writes days in another calendar, or does not say how.
    pub fn of(settings: &Value) -> Option<Self> {
        let text = |property: &str| settings[property].as_str().map(str::to_owned);
        let calendar = settings["CalendarType"].as_u64();
        if calendar.is_some_and(|calendar| calendar != GREGORIAN) {
            return None;
        }
        let order = match settings["DateFormat"].as_u64()? {
            0 => Order::MonthDayYear,
            1 => Order::DayMonthYear,
            2 => Order::YearMonthDay,
            _ => return None,
        };
        let halves = match settings["Time24"].as_bool()? {
            true => None,
            false => Some((text("AM")?, text("PM")?)),
        };
        let separators = (text("DateSeparator")?, text("TimeSeparator")?);
        Some(Self {
            order,
            separators,
            halves,
        })
    }

    /// A moment in UTC.
    pub fn write(&self, at: Timestamp) -> String {
        let at = at.to_zoned(TimeZone::UTC).datetime();
        let (year, month, day) = (at.year(), at.month(), at.day());
        let between = &self.separators.0;
        let date = match self.order {
            Order::MonthDayYear => format!("{month}{between}{day}{between}{year}"),
            Order::DayMonthYear => format!("{day}{between}{month}{between}{year}"),
            Order::YearMonthDay => format!("{year}{between}{month}{between}{day}"),
        };
        format!("{date} {}", self.time(at))
    }

    fn time(&self, at: DateTime) -> String {
        let (hour, minute) = (at.hour(), at.minute());
        let between = &self.separators.1;
        match &self.halves {
            None => format!("{hour}{between}{minute:02}"),
            Some((morning, evening)) => {
                let half = if hour < 12 { morning } else { evening };
                let hour = (hour + 11) % 12 + 1;
                format!("{hour}{between}{minute:02} {half}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(settings: &Value, at: &str) -> Option<String> {
        let at: Timestamp = at.parse().ok()?;
        Some(Form::of(settings)?.write(at))
    }

    #[test]
    fn each_region_has_its_way() {
        let mut site = json!({ "DateFormat": 0, "DateSeparator": "/", "TimeSeparator": ":",
                               "Time24": false, "AM": "AM", "PM": "PM", "CalendarType": 1 });
        let at = |site: &Value, time: &str| written(site, &format!("2026-03-07T{time}:59Z"));
        assert_eq!(at(&site, "00:05").as_deref(), Some("3/7/2026 12:05 AM"));
        assert_eq!(at(&site, "12:30").as_deref(), Some("3/7/2026 12:30 PM"));
        assert_eq!(at(&site, "23:59").as_deref(), Some("3/7/2026 11:59 PM"));
        site["DateFormat"] = json!(1);
        site["DateSeparator"] = json!(".");
        site["Time24"] = json!(true);
        assert_eq!(at(&site, "00:05").as_deref(), Some("7.3.2026 0:05"));
        site["DateFormat"] = json!(2);
        assert_eq!(at(&site, "13:00").as_deref(), Some("2026.3.7 13:00"));
        site["CalendarType"] = json!(7);
        assert_eq!(at(&site, "13:00"), None);
        assert_eq!(written(&json!({}), "2026-03-07T00:00:00Z"), None);
    }
}
