//! Upload sessions.

use graph_emulator::Quirk;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Graph};

const UNIT: usize = 320 * 1024;

async fn session(graph: &Graph, path: &str, item: Value) -> String {
    let made = graph
        .post(
            &format!("{path}/createUploadSession"),
            json!({"item": item}),
        )
        .await
        .expect(200)
        .json();
    assert_eq!(made["nextExpectedRanges"], json!(["0-"]));
    made["uploadUrl"].as_str().unwrap().to_owned()
}

async fn fragment(graph: &Graph, url: &str, bytes: &[u8], first: usize, total: usize) -> Answer {
    let range = format!("bytes {first}-{}/{total}", first + bytes.len() - 1);
    graph
        .send(
            graph
                .raw(Method::PUT, url)
                .header("content-range", range)
                .body(bytes.to_vec()),
        )
        .await
}

#[tokio::test]
async fn a_file_in_fragments() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let bytes: Vec<u8> = (0..2 * UNIT + 17).map(|i| (i % 239) as u8).collect();
    let total = bytes.len();
    let times = json!({"createdDateTime": "2010-01-02T03:04:05Z", "lastModifiedDateTime": "2011-01-02T03:04:05Z"});
    let item = json!({"@microsoft.graph.conflictBehavior": "fail", "name": "big.bin", "fileSize": total, "fileSystemInfo": times});
    let url = session(&graph, &format!("{drive}/root:/in/here/big.bin:"), item).await;
    // Not with a token.
    let refused = graph.raw(Method::GET, &url).bearer_auth("x");
    graph.send(refused).await.expect(401);
    let answer = fragment(&graph, &url, &bytes[..UNIT], 0, total)
        .await
        .expect(202)
        .json();
    assert_eq!(answer["nextExpectedRanges"], json!([format!("{UNIT}-")]));
    // Again, a gap, another total, wrong length, nothing at all.
    let again = fragment(&graph, &url, &bytes[..UNIT], 0, total)
        .await
        .expect(416);
    assert_eq!(again.codes().1, "fragmentOverlap");
    let gap = fragment(&graph, &url, &bytes[2 * UNIT..], 2 * UNIT, total)
        .await
        .expect(416);
    assert_eq!(gap.codes().1, "fragmentOutOfOrder");
    fragment(&graph, &url, &bytes[UNIT..2 * UNIT], UNIT, total + 1)
        .await
        .expect(400);
    let short = graph
        .raw(Method::PUT, &url)
        .header(
            "content-range",
            format!("bytes {UNIT}-{}/{total}", UNIT + 9),
        )
        .body("x");
    assert_eq!(
        graph.send(short).await.expect(400).codes().1,
        "fragmentLengthMismatch"
    );
    let none = graph
        .raw(Method::PUT, &url)
        .header("content-range", "bytes 0-0/0")
        .body("");
    graph.send(none).await.expect(400);
    let status = graph
        .send(graph.raw(Method::GET, &url))
        .await
        .expect(200)
        .json();
    assert_eq!(status["nextExpectedRanges"], json!([format!("{UNIT}-")]));
    graph
        .get(&format!("{drive}/root:/in/here/big.bin"))
        .await
        .expect(404);
    fragment(&graph, &url, &bytes[UNIT..2 * UNIT], UNIT, total)
        .await
        .expect(202);
    let made = fragment(&graph, &url, &bytes[2 * UNIT..], 2 * UNIT, total)
        .await
        .expect(201)
        .json();
    assert_eq!(
        made["fileSystemInfo"]["lastModifiedDateTime"],
        "2011-01-02T03:04:05Z"
    );
    assert_eq!(
        made["file"]["hashes"]["quickXorHash"],
        super::content::quick_xor(&bytes)
    );
    graph.send(graph.raw(Method::GET, &url)).await.expect(404);
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        graph.download(&format!("{drive}/items/{id}/content")).await,
        bytes
    );
    // New content for the same item: same id, one version more.
    let url = session(
        &graph,
        &format!("{drive}/items/{id}"),
        json!({"@microsoft.graph.conflictBehavior": "replace"}),
    )
    .await;
    let replaced = fragment(&graph, &url, b"small now", 0, 9)
        .await
        .expect(200)
        .json();
    assert_eq!(replaced["id"], id);
    assert_ne!(replaced["cTag"], made["cTag"]);
    graph.finish();
}

#[tokio::test]
async fn fragments_of_the_wrong_size_fail_at_the_end() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let url = session(
        &graph,
        &format!("{drive}/root:/odd.bin:"),
        json!({"name": "odd.bin"}),
    )
    .await;
    fragment(&graph, &url, &[1; 1000], 0, 1010)
        .await
        .expect(202);
    let failed = fragment(&graph, &url, &[1; 10], 1000, 1010)
        .await
        .expect(400);
    assert_eq!(failed.codes().1, "uploadSessionFailed");
    let large = session(&graph, &format!("{drive}/root:/large.bin:"), json!({})).await;
    let refused = fragment(&graph, &large, &vec![0; 60 << 20], 0, 61 << 20)
        .await
        .expect(413);
    assert_eq!(refused.codes().1, "maxFragmentLengthExceeded");
    graph.finish();
}

#[tokio::test]
async fn how_sessions_end() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let path = format!("{drive}/root:/s.txt:");
    // Given up.
    let url = session(&graph, &path, json!({})).await;
    graph
        .send(graph.raw(Method::DELETE, &url))
        .await
        .expect(204);
    fragment(&graph, &url, b"x", 0, 1).await.expect(404);
    // Forgotten.
    let url = session(&graph, &path, json!({})).await;
    graph
        .control("clock", json!({"advance_seconds": 3600}))
        .await;
    let lost = graph.send(graph.raw(Method::GET, &url)).await.expect(404);
    assert_eq!(lost.codes().1, "uploadSessionNotFound");
    // Committed when told to.
    let body = json!({"item": {"name": "s.txt"}, "deferCommit": true});
    let made = graph
        .post(&format!("{path}/createUploadSession"), body)
        .await
        .expect(200)
        .json();
    let url = made["uploadUrl"].as_str().unwrap();
    let commit = || graph.raw(Method::POST, url).header("content-length", "0");
    assert_eq!(
        graph.send(commit()).await.expect(400).codes().1,
        "uploadSessionIncomplete"
    );
    fragment(&graph, url, b"deferred", 0, 8).await.expect(202);
    graph.get(&format!("{drive}/root:/s.txt")).await.expect(404);
    graph.send(commit()).await.expect(201);
    assert_eq!(
        graph
            .download(&format!("{drive}/root:/s.txt:/content"))
            .await,
        b"deferred"
    );
    graph.finish();
}

#[tokio::test]
async fn conflicts() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let create = |name: &str| format!("{drive}/root:/{name}:/createUploadSession");
    let fail = json!({"item": {"@microsoft.graph.conflictBehavior": "fail"}});
    // Taken already.
    let id = graph.file(&drive, "taken.txt", b"x").await;
    graph
        .post(&create("taken.txt"), fail.clone())
        .await
        .expect(409);
    graph
        .post(&create("taken.txt"), json!({"item": {"name": "other.txt"}}))
        .await
        .expect(400);
    // Nothing said: replaced, as rclone relies on.
    let url = session(&graph, &format!("{drive}/root:/taken.txt:"), json!({})).await;
    let replaced = fragment(&graph, &url, b"z", 0, 1).await.expect(200);
    assert_eq!(replaced.json()["id"], id.as_str());
    // Taken meanwhile: the session lives on, and can be committed under another name.
    let made = graph
        .post(&create("late.txt"), fail)
        .await
        .expect(200)
        .json();
    let url = made["uploadUrl"].as_str().unwrap();
    graph.file(&drive, "late.txt", b"somebody else's").await;
    let late = fragment(&graph, url, b"mine", 0, 4).await.expect(409);
    assert_eq!(late.codes().0, "nameAlreadyExists");
    let elsewhere = json!({"name": "later.txt", "@microsoft.graph.conflictBehavior": "fail", "@microsoft.graph.sourceUrl": url});
    let request = graph
        .request(Method::PUT, &format!("{drive}/root:/later.txt"))
        .json(&elsewhere);
    assert_eq!(
        graph.send(request).await.expect(201).json()["name"],
        "later.txt"
    );
    assert_eq!(
        graph
            .download(&format!("{drive}/root:/later.txt:/content"))
            .await,
        b"mine"
    );
    assert_eq!(
        graph
            .download(&format!("{drive}/root:/late.txt:/content"))
            .await,
        b"somebody else's"
    );
    // Renamed.
    let url = session(
        &graph,
        &format!("{drive}/root:/taken.txt:"),
        json!({"@microsoft.graph.conflictBehavior": "rename"}),
    )
    .await;
    assert_eq!(
        fragment(&graph, &url, b"y", 0, 1).await.expect(201).json()["name"],
        "taken 1.txt"
    );
    // Tags.
    let stale = "\"{00000000-0000-0000-0000-000000000000},1\"";
    let request = graph
        .request(
            Method::POST,
            &format!("{drive}/items/{id}/createUploadSession"),
        )
        .header("if-match", stale);
    graph.send(request.json(&json!({}))).await.expect(412);
    // More than there is room for.
    let huge = json!({"item": {"fileSize": 1u64 << 41}});
    assert_eq!(
        graph
            .post(&create("huge.bin"), huge)
            .await
            .expect(507)
            .codes()
            .0,
        "quotaLimitReached"
    );
    graph.finish();
}

#[tokio::test]
async fn office_files_may_be_rewritten() {
    let graph = Graph::quirk(Quirk::OfficeRewrite);
    let drive = graph.drive().await;
    let plain = graph
        .put(&format!("{drive}/root:/a.txt:/content"), b"text".to_vec())
        .await
        .expect(201)
        .json();
    assert_eq!(plain["size"], 4);
    let office = graph
        .put(&format!("{drive}/root:/a.docx:/content"), b"text".to_vec())
        .await
        .expect(201)
        .json();
    assert!(office["size"].as_u64().unwrap() > 4);
    let bytes = graph
        .download(&format!("{drive}/root:/a.docx:/content"))
        .await;
    assert_eq!(bytes.len() as u64, office["size"].as_u64().unwrap());
    assert_eq!(
        office["file"]["hashes"]["quickXorHash"],
        super::content::quick_xor(&bytes)
    );
    graph.finish();
}
