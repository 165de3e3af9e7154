//! Downloads.

use base64::Engine;
use graph_emulator::Quirk;
use reqwest::Method;
use serde_json::json;

use super::Graph;

/// quickXorHash as its documentation tells it, byte by byte: an oracle that shares nothing with the emulator's.
pub fn quick_xor(bytes: &[u8]) -> String {
    let mut ring = [0u8; 20];
    for (i, byte) in bytes.iter().enumerate() {
        let at = 11 * i % 160;
        for bit in (0..8).filter(|b| byte >> b & 1 == 1) {
            let to = (at + bit) % 160;
            ring[to / 8] ^= 1 << (to % 8);
        }
    }
    for (byte, length) in ring[12..]
        .iter_mut()
        .zip((bytes.len() as u64).to_le_bytes())
    {
        *byte ^= length;
    }
    base64::engine::general_purpose::STANDARD.encode(ring)
}

#[tokio::test]
async fn content_is_behind_a_url_of_its_own() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let bytes: Vec<u8> = (0..400_000u32).map(|i| (i % 241) as u8).collect();
    let id = graph.file(&drive, "data.bin", &bytes).await;
    let item = graph.get(&format!("{drive}/items/{id}")).await.json();
    assert_eq!(item["file"]["hashes"]["quickXorHash"], quick_xor(&bytes));
    let url = graph
        .get(&format!("{drive}/items/{id}/content"))
        .await
        .expect(302)
        .header("location");
    assert!(
        url.contains("/_download/") && url.contains("tempauth=v1."),
        "{url}"
    );
    assert_eq!(
        graph
            .send(graph.raw(Method::GET, &url))
            .await
            .expect(200)
            .bytes,
        bytes
    );
    let listed = item["@microsoft.graph.downloadUrl"].as_str().unwrap();
    assert_eq!(
        graph
            .send(graph.raw(Method::GET, listed))
            .await
            .expect(200)
            .bytes,
        bytes
    );
    // An access token does not belong here, and a changed URL is no URL.
    graph
        .send(graph.raw(Method::GET, &url).bearer_auth("x"))
        .await
        .expect(401);
    graph
        .send(graph.raw(Method::GET, &url.replace("tempauth=v1.", "tempauth=v1.A")))
        .await
        .expect(401);
    // Tags.
    for tag in [&item["eTag"], &item["cTag"]] {
        let request = graph.request(Method::GET, &format!("{drive}/items/{id}/content"));
        graph
            .send(request.header("if-none-match", tag.as_str().unwrap()))
            .await
            .expect(304);
    }
    // What has no content.
    graph
        .get(&format!("{drive}/root/content"))
        .await
        .expect(404);
    // The content as it is when it is fetched, not when the URL was given out.
    graph.file(&drive, "data.bin", b"changed meanwhile").await;
    assert_eq!(
        graph
            .send(graph.raw(Method::GET, &url))
            .await
            .expect(200)
            .bytes,
        b"changed meanwhile"
    );
    // Gone meanwhile; expired.
    graph
        .delete(&format!("{drive}/items/{id}"))
        .await
        .expect(204);
    graph.send(graph.raw(Method::GET, &url)).await.expect(404);
    let other = graph.file(&drive, "x", b"x").await;
    let url = graph
        .get(&format!("{drive}/items/{other}/content"))
        .await
        .expect(302)
        .header("location");
    graph
        .control("clock", json!({"advance_seconds": 3601}))
        .await;
    graph.send(graph.raw(Method::GET, &url)).await.expect(401);
    graph.finish();
}

#[tokio::test]
async fn ranges() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    let id = graph.file(&drive, "r.bin", &bytes).await;
    let url = graph
        .get(&format!("{drive}/items/{id}/content"))
        .await
        .expect(302)
        .header("location");
    let range = |range: &str| graph.raw(Method::GET, &url).header("range", range);
    let part = graph.send(range("bytes=100-199")).await.expect(206);
    assert_eq!(part.bytes, &bytes[100..200]);
    assert_eq!(part.header("content-range"), "bytes 100-199/300000");
    assert_eq!(
        graph.send(range("bytes=299990-")).await.expect(206).bytes,
        &bytes[299_990..]
    );
    assert_eq!(
        graph.send(range("bytes=-5")).await.expect(206).bytes,
        &bytes[299_995..]
    );
    let beyond = graph.send(range("bytes=300000-")).await.expect(416);
    assert_eq!(beyond.header("content-range"), "bytes */300000");
    assert_eq!(
        graph.send(range("bytes=5-1")).await.expect(200).bytes.len(),
        300_000
    );
    graph.finish();
    let graph = Graph::quirk(Quirk::IgnoreRange);
    let drive = graph.drive().await;
    graph.file(&drive, "r.bin", &bytes).await;
    let url = graph
        .get(&format!("{drive}/root:/r.bin:/content"))
        .await
        .expect(302)
        .header("location");
    let whole = graph
        .send(
            graph
                .raw(Method::GET, &url)
                .header("range", "bytes=100-199"),
        )
        .await
        .expect(200);
    assert_eq!(whole.bytes.len(), 300_000);
    graph.finish();
}

#[tokio::test]
async fn faults_of_hashes_urls_and_bodies() {
    let graph = Graph::new();
    let drive = graph.drive().await;
    let id = graph.file(&drive, "f.bin", &[7; 5000]).await;
    let item = format!("{drive}/items/{id}");
    let right = graph.get(&item).await.json()["file"]["hashes"]["quickXorHash"].clone();
    graph
        .control(
            "faults",
            json!([
                {"route": "/v1.0/drives/{id}/items/{id}", "fault": "wrong_hash"},
                {"route": "/v1.0/drives/{id}/items/{id}/content", "fault": "expired_url"},
                {"route": "/_download/{id}", "skip": 1, "fault": {"truncate": 100}},
            ]),
        )
        .await;
    assert_ne!(
        graph.get(&item).await.json()["file"]["hashes"]["quickXorHash"],
        right
    );
    assert_eq!(
        graph.get(&item).await.json()["file"]["hashes"]["quickXorHash"],
        right
    );
    let url = graph
        .get(&format!("{item}/content"))
        .await
        .expect(302)
        .header("location");
    graph.send(graph.raw(Method::GET, &url)).await.expect(401);
    let url = graph
        .get(&format!("{item}/content"))
        .await
        .expect(302)
        .header("location");
    let cut = graph
        .raw(Method::GET, &url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await;
    assert!(cut.is_err(), "the body is cut off: {cut:?}");
    assert_eq!(graph.download(&format!("{item}/content")).await, [7; 5000]);
    graph.finish();
}

#[tokio::test]
async fn imported_files_keep_paths_bytes_and_times() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("Projects/böb")).unwrap();
    let path = dir.path().join("Projects/böb/a & b.txt");
    std::fs::write(&path, b"imported").unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567_890);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    std::fs::write(dir.path().join("bad:name.txt"), b"left out").unwrap();
    let graph = Graph::with(|o| {
        o.files = 60;
        o.import_files = vec![dir.path().to_owned()];
    });
    let drive = graph.drive().await;
    let item = graph
        .get(&format!("{drive}/root:/Projects/b%C3%B6b/a%20&%20b.txt"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        item["fileSystemInfo"]["lastModifiedDateTime"],
        "2009-02-13T23:31:30Z"
    );
    assert_eq!(item["size"], 8);
    assert_eq!(
        item["file"]["hashes"]["quickXorHash"],
        quick_xor(b"imported")
    );
    assert_eq!(
        graph
            .download(&format!(
                "{drive}/items/{}/content",
                item["id"].as_str().unwrap()
            ))
            .await,
        b"imported"
    );
    graph
        .get(&format!("{drive}/root:/bad%3Aname.txt"))
        .await
        .expect(404);
    graph.finish();
}
