//! Incremental reading: with a window in v1.0, without one in beta, and how both go wrong.

use reqwest::Method;
use serde_json::{Value, json};

use graph_emulator::Quirk;

use super::{ALICE, Graph, IMMUTABLE, at, id};

const BETA: &str = "/beta/users/alice@contoso.com";

fn on(subject: &str, day: &str) -> Value {
    json!({"subject": subject, "start": at(&format!("{day}T09:00:00"), "UTC"), "end": at(&format!("{day}T10:00:00"), "UTC")})
}

fn series(count: u32) -> Value {
    let mut body = on("Series", "2026-07-06");
    body["recurrence"] = json!({"pattern": {"type": "daily", "interval": 1}, "range": {"type": "numbered", "numberOfOccurrences": count}});
    body
}

fn window(from: &str, to: &str) -> String {
    format!(
        "{ALICE}/calendar/calendarView/delta?startDateTime={from}T00:00:00Z&endDateTime={to}T00:00:00Z"
    )
}

fn removed(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .filter(|i| i["@removed"]["reason"] == "deleted")
        .map(id)
        .collect()
}

#[tokio::test]
async fn beta_tells_events_without_a_window() {
    let graph = Graph::with(|o| o.events = 60);
    let calendar = graph.ok(&format!("{ALICE}/calendar")).await;
    let path = format!("{BETA}/calendars/{}/events/delta", id(&calendar));
    let small = [("Prefer", "odata.maxpagesize=7, IdType=\"ImmutableId\"")];
    let (all, link) = graph.all(&path, &small).await;
    let listed = graph
        .ok_with(
            &format!("{ALICE}/calendar/events?$top=999&$select=id"),
            &[IMMUTABLE],
        )
        .await;
    let mut seen: Vec<&str> = all.iter().map(id).collect();
    let mut there: Vec<&str> = listed["value"].as_array().unwrap().iter().map(id).collect();
    seen.sort_unstable();
    there.sort_unstable();
    assert_eq!(seen, there);
    let mut keys: Vec<&str> = all[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["@odata.etag", "end", "id", "start", "type"]);

    let (quiet, link) = graph.all(&link, &small).await;
    assert!(quiet.is_empty());
    let made = graph.event(on("New", "2026-07-10")).await;
    let gone = all.iter().find(|e| e["type"] == "singleInstance").unwrap();
    graph.delete(&format!("{ALICE}/events/{}", id(gone))).await;
    // A cancelled date is a change of its master.
    let master = all.iter().find(|e| e["type"] == "seriesMaster").unwrap();
    let days = graph.ok(&format!("{ALICE}/events/{}/instances?startDateTime=2020-01-01T00:00:00Z&endDateTime=2028-01-01T00:00:00Z", id(master))).await;
    graph
        .delete(&format!("{ALICE}/events/{}", id(&days["value"][0])))
        .await;
    let (changed, link) = graph.all(&link, &small).await;
    assert_eq!(changed.len(), 3);
    assert_eq!(removed(&changed), [id(gone)]);
    assert!(changed.iter().any(|e| e["id"] == master["id"]));
    assert_ne!(id(&changed[0]), id(&made), "the default id is another");

    graph.control(Method::POST, "expire-delta-tokens").await;
    let (status, headers, error) = graph.send(Method::GET, &link, &small, None).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (410, &json!("SyncStateNotFound"))
    );
    let again = headers["location"].to_str().unwrap();
    assert!(again.ends_with("$deltatoken="), "{again}");
    assert_eq!(graph.all(again, &small).await.0.len(), there.len());
    graph.finish();
}

#[tokio::test]
async fn what_delta_does_not_take_is_refused() {
    let graph = Graph::new();
    assert_eq!(
        graph.get(&format!("{ALICE}/calendar/events/delta")).await.0,
        400
    );
    for option in [
        "$select=id",
        "$top=5",
        "$filter=subject eq 'x'",
        "$orderby=subject",
        "$expand=attachments",
    ] {
        let (status, error) = graph.get(&format!("{BETA}/events/delta?{option}")).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (400, &json!("ErrorInvalidUrlQuery")),
            "{option}"
        );
    }
    assert_eq!(
        graph.get(&format!("{ALICE}/calendarView/delta")).await.0,
        400
    );
    assert_eq!(
        graph
            .get(&format!("{BETA}/events/delta?$deltatoken=nonsense"))
            .await
            .0,
        400
    );

    let graph = Graph::quirk(Quirk::EventsDelta);
    graph.event(on("x", "2026-07-10")).await;
    let (all, link) = graph
        .all(
            &format!("{ALICE}/calendar/events/delta?$select=subject,start"),
            &[],
        )
        .await;
    assert_eq!(all[0]["subject"], "x");
    assert!(link.contains("/v1.0/"));
}

#[tokio::test]
async fn a_lower_bound_leaves_out_what_is_over() {
    let graph = Graph::new();
    graph.event(on("Old", "2020-07-10")).await;
    let new = graph.event(on("New", "2026-07-10")).await;
    let (all, _) = graph
        .all(
            &format!("{BETA}/events/delta?startDateTime=2026-01-01T00:00:00Z"),
            &[],
        )
        .await;
    assert_eq!(all.iter().map(id).collect::<Vec<_>>(), [id(&new)]);
}

#[tokio::test]
async fn a_window_tells_what_takes_place_in_it() {
    let graph = Graph::new();
    let inside = graph.event(on("Inside", "2026-07-08")).await;
    let outside = graph.event(on("Outside", "2026-08-08")).await;
    let master = graph.event(series(30)).await;
    let path = window("2026-07-07", "2026-07-10");
    // A series is told whole, whatever the page size.
    let small = [("Prefer", "odata.maxpagesize=2")];
    let first = graph.ok_with(&path, &small).await;
    assert!(first["value"].as_array().unwrap().len() > 2);
    let (all, link) = graph.all(&path, &small).await;
    let kinds = |items: &[Value], kind: &str| items.iter().filter(|e| e["type"] == kind).count();
    assert_eq!(
        (
            kinds(&all, "singleInstance"),
            kinds(&all, "seriesMaster"),
            kinds(&all, "occurrence")
        ),
        (1, 1, 3)
    );

    // A change of the series is a change of all its occurrences; what is outside of the window is
    // told as removed when it changes.
    graph
        .patch(
            &format!("{ALICE}/events/{}", id(&outside)),
            json!({"subject": "Still outside"}),
        )
        .await;
    let days: Vec<Value> = all
        .iter()
        .filter(|e| e["type"] == "occurrence")
        .cloned()
        .collect();
    graph
        .delete(&format!("{ALICE}/events/{}", id(&days[1])))
        .await;
    graph.patch(&format!("{ALICE}/events/{}", id(&inside)), json!({"start": at("2026-09-08T09:00:00", "UTC"), "end": at("2026-09-08T10:00:00", "UTC")})).await;
    let (changed, link) = graph.all(&link, &small).await;
    let mut gone = removed(&changed);
    gone.sort_unstable();
    let mut expected = vec![id(&outside), id(&days[1]), id(&inside)];
    expected.sort_unstable();
    assert_eq!(gone, expected);
    assert_eq!(
        (
            kinds(&changed, "seriesMaster"),
            kinds(&changed, "occurrence")
        ),
        (1, 2)
    );

    // Another rhythm: days that are no longer are removed.
    let mut recurrence = master["recurrence"].clone();
    recurrence["pattern"]["interval"] = json!(3);
    graph
        .patch(
            &format!("{ALICE}/events/{}", id(&master)),
            json!({"recurrence": recurrence}),
        )
        .await;
    let (changed, link) = graph.all(&link, &[]).await;
    assert_eq!(kinds(&changed, "occurrence"), 1);
    assert!(removed(&changed).contains(&id(&days[0])));
    graph
        .delete(&format!("{ALICE}/events/{}", id(&master)))
        .await;
    let (changed, link) = graph.all(&link, &[]).await;
    assert!(removed(&changed).contains(&id(&master)));
    assert!(link.contains("$deltatoken="));

    graph.control(Method::POST, "expire-delta-tokens").await;
    let (status, headers, _) = graph.send(Method::GET, &link, &[], None).await;
    assert_eq!(status, 410);
    assert!(
        headers["location"]
            .to_str()
            .unwrap()
            .contains("$deltatoken=")
    );
    graph.finish();
}

#[tokio::test]
async fn the_traps_of_the_service_can_be_set() {
    let graph = Graph::quirk(Quirk::EndlessDelta);
    graph.event(on("x", "2026-07-08")).await;
    let first = graph.ok(&window("2026-07-07", "2026-07-10")).await;
    let link = first["@odata.nextLink"].as_str().unwrap();
    let second = graph.ok(link).await;
    assert_eq!(second["value"][0]["id"], first["value"][0]["id"]);
    assert_eq!(second["@odata.nextLink"], first["@odata.nextLink"]);

    let graph = Graph::quirk(Quirk::GiantSeries);
    let small = graph.event(series(100)).await;
    let giant = graph.event(series(900)).await;
    assert_eq!(
        graph.get(&format!("{ALICE}/events/{}", id(&small))).await.0,
        200
    );
    let (status, headers, body) = graph
        .send(
            Method::GET,
            &format!("{ALICE}/events/{}", id(&giant)),
            &[],
            None,
        )
        .await;
    assert_eq!((status, body), (503, Value::Null));
    assert_eq!(headers["content-length"], "0");
    assert_eq!(graph.get(&format!("{BETA}/events/delta")).await.0, 503);
    let list = graph
        .ok(&format!("{ALICE}/events?$select=id,lastModifiedDateTime"))
        .await;
    assert_eq!(list["value"].as_array().unwrap().len(), 2);

    let graph = Graph::with(|o| {
        o.events = 60;
        o.quirk = vec![Quirk::EmptyPages, Quirk::DuplicateItems];
    });
    let (all, _) = graph
        .all(
            &format!("{BETA}/events/delta"),
            &[("Prefer", "odata.maxpagesize=5")],
        )
        .await;
    let unique: std::collections::BTreeSet<&str> = all.iter().map(id).collect();
    assert!(all.len() > unique.len());
}
