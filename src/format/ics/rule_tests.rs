//! Rules there and back, what they mean, and what is refused.

use super::*;
use jiff::civil::date;

fn berlin(day: Date) -> When {
    When::At {
        local: day.at(9, 0, 0, 0),
        zone: Zone::find("Europe/Berlin").unwrap(),
    }
}

fn read(rule: &str, start: Date) -> Result<Rule, String> {
    Rule::from_ics(rule, &berlin(start)).map_err(|e| e.to_string())
}

fn dates(rule: &str, start: Date, n: usize) -> Vec<String> {
    let rule = read(rule, start).unwrap();
    rule.dates(start)
        .take(n)
        .map(|d| d.strftime("%m-%d").to_string())
        .collect()
}

#[test]
fn every_pattern_of_graph_goes_there_and_back() {
    let start = date(2026, 3, 2); // a Monday, the first of its month
    for rule in [
        "FREQ=DAILY",
        "FREQ=DAILY;COUNT=3;INTERVAL=2",
        "FREQ=WEEKLY;UNTIL=20260831T215959Z;INTERVAL=2;BYDAY=MO,WE,SU;WKST=SU",
        "FREQ=MONTHLY;BYMONTHDAY=2",
        "FREQ=MONTHLY;BYDAY=1MO",
        "FREQ=MONTHLY;COUNT=9;INTERVAL=3;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1",
        "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=2",
        "FREQ=YEARLY;BYMONTH=3;BYDAY=1MO",
    ] {
        let read = read(rule, start).unwrap();
        assert_eq!(read.to_ics(&berlin(start)), rule);
        let graph = read.to_graph(start, &Zone::utc());
        assert_eq!(
            Rule::from_graph(&graph)
                .map(|r| r.to_ics(&berlin(start)))
                .as_deref(),
            Some(rule)
        );
    }
}

#[test]
fn short_months_are_exchanges() {
    let start = date(2026, 1, 31);
    let last = "FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1";
    assert_eq!(dates(last, start, 4), ["01-31", "02-28", "03-31", "04-30"]);
    assert_eq!(read(last, start).unwrap().to_ics(&berlin(start)), last);
    assert_eq!(read("FREQ=MONTHLY;BYMONTHDAY=-1", start), read(last, start));
    let leap = date(2028, 2, 29);
    let yearly = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=28,29;BYSETPOS=-1";
    assert_eq!(dates(yearly, leap, 3), ["02-29", "02-28", "02-28"]);
    for rule in [
        "FREQ=MONTHLY",
        "FREQ=MONTHLY;BYMONTHDAY=31",
        "FREQ=MONTHLY;BYMONTHDAY=31;BYSETPOS=1",
    ] {
        assert!(
            read(rule, start)
                .unwrap_err()
                .contains("some months do not have"),
            "{rule}"
        );
    }
    assert!(
        read("FREQ=YEARLY", leap)
            .unwrap_err()
            .contains("some months do not have")
    );
}

#[test]
fn weeks_begin_where_they_are_said_to() {
    let start = date(1997, 8, 5); // RFC 5545 section 3.8.5.3: WKST changes the dates
    let monday = "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO";
    assert_eq!(
        dates(monday, start, 9),
        ["08-05", "08-10", "08-19", "08-24"]
    );
    let sunday = "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU";
    assert_eq!(
        dates(sunday, start, 9),
        ["08-05", "08-17", "08-19", "08-31"]
    );
}

#[test]
fn other_spellings_of_the_same() {
    let start = date(2026, 3, 2);
    let same = |a: &str, b: &str| assert_eq!(read(a, start), read(b, start), "{a}");
    same("FREQ=WEEKLY", "FREQ=WEEKLY;BYDAY=MO");
    same("FREQ=DAILY;BYDAY=MO,TU", "FREQ=WEEKLY;BYDAY=TU,MO;WKST=MO");
    same(
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1",
        "FREQ=MONTHLY;BYDAY=+1MO",
    );
    same("FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=2");
    same("FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=0", "freq=daily");
    // The end of the last day, however it is said.
    same(
        "FREQ=DAILY;UNTIL=20260310T080000Z",
        "FREQ=DAILY;UNTIL=20260310",
    );
    same(
        "FREQ=DAILY;UNTIL=20260310T075959Z",
        "FREQ=DAILY;UNTIL=20260309",
    );
    same(
        "FREQ=DAILY;UNTIL=20260310T090000",
        "FREQ=DAILY;UNTIL=20260310",
    );
}

#[test]
fn what_graph_cannot_hold_is_refused_by_name() {
    let start = date(2026, 3, 2);
    for (rule, says) in [
        ("FREQ=HOURLY", "FREQ=HOURLY"),
        ("", "FREQ="),
        ("FREQ=DAILY;BYHOUR=9,12", "BYHOUR"),
        ("FREQ=DAILY;BYMONTH=3", "BYMONTH in a rule with FREQ=DAILY"),
        ("FREQ=DAILY;INTERVAL=2;BYDAY=MO", "every few days"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0"),
        ("FREQ=DAILY;COUNT=0", "COUNT=0"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "both COUNT and UNTIL"),
        ("FREQ=DAILY;UNTIL=20260301", "ends before its start"),
        ("FREQ=DAILY;UNTIL=soon", "UNTIL=soon"),
        ("FREQ=WEEKLY;BYDAY=1MO", "numbered weekdays"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY=XX"),
        ("FREQ=WEEKLY;BYDAY=TU", "its own start"),
        ("FREQ=MONTHLY;BYDAY=5MO", "number 5"),
        ("FREQ=MONTHLY;BYDAY=MO", "several weekdays"),
        ("FREQ=MONTHLY;BYDAY=1MO,3MO", "several weekdays"),
        ("FREQ=MONTHLY;BYDAY=MO;BYMONTHDAY=2", "weekdays and days"),
        ("FREQ=MONTHLY;BYMONTHDAY=2,16", "several days"),
        ("FREQ=MONTHLY;BYMONTHDAY=-2", "several days"),
        (
            "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=1,3",
            "several values of BYSETPOS",
        ),
        ("FREQ=YEARLY;BYMONTH=3,9", "several values of BYMONTH"),
        ("FREQ=YEARLY;BYMONTHDAY=2", "no month"),
        ("FREQ=YEARLY;BYYEARDAY=61", "BYYEARDAY"),
        ("FREQ=YEARLY;BYWEEKNO=10", "BYWEEKNO"),
        ("FREQ=YEARLY;BYEASTER=1", "not known"),
        ("FREQ=DAILY;FREQ=WEEKLY", "not known"),
        ("RSCALE=CHINESE;FREQ=YEARLY", "Gregorian"),
        ("FREQ=MONTHLY;SKIP=FORWARD", "SKIP"),
    ] {
        let e = read(rule, start).expect_err(rule);
        assert!(e.contains(says), "{rule}: {e}");
    }
}

#[test]
fn endless_rules_end_with_time() {
    let start = date(2026, 3, 2);
    let rule = Rule {
        interval: 10_000,
        ..read("FREQ=YEARLY", start).unwrap()
    };
    assert_eq!(rule.dates(start).count(), 1);
    let rule = read("FREQ=MONTHLY;BYDAY=1MO;INTERVAL=9999", start).unwrap();
    assert!(rule.dates(start).count() < 20);
}

#[test]
fn a_rule_may_be_moved_by_a_day() {
    use Pattern::*;
    use Weekday::{Monday, Sunday};
    let rule = |pattern: &Pattern, range| Rule {
        pattern: pattern.clone(),
        interval: 2,
        week_start: Sunday,
        range,
    };
    let mut all = vec![Daily, Weekly(vec![Monday, Sunday])];
    all.extend((1..=31).map(Monthly));
    for month in 1..=12 {
        all.extend((1..=31).map(|day| Yearly(month, day)));
    }
    let start = date(2026, 1, 4);
    let mut moved_ones = 0;
    for pattern in &all {
        for days in [-1, 0, 1] {
            for range in [Range::Forever, Range::Until(date(2040, 3, 1))] {
                let rule = rule(pattern, range);
                let Some(moved) = rule.moved(days) else {
                    continue;
                };
                moved_ones += 1;
                let first = rule.dates(start).next().unwrap();
                let told = rule.dates(first).map(|day| day + days.days());
                let dates = moved.dates(first + days.days());
                assert!(told.take(60).eq(dates.take(60)), "{rule:?} {days}");
            }
        }
    }
    assert!(moved_ones > 2 * all.len(), "{moved_ones}");
    for (pattern, days) in [
        (Monthly(31), -1),
        (Monthly(28), 1),
        (Monthly(30), -1),
        (Yearly(2, 28), 1),
        (MonthlyNth(2, vec![Monday]), 1),
        (YearlyNth(3, -1, vec![Sunday]), -1),
    ] {
        assert_eq!(rule(&pattern, Range::Forever).moved(days), None);
    }
}
