//! Commits: requirements, races, creation by a commit.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Server, append, assert_refused, creation, main_is, metadata_files, table_request};

#[tokio::test]
async fn a_commit_is_applied_when_its_requirements_hold_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let (server, created) = Server::with_table(dir.path()).await;
    let uuid = json!([{"type": "assert-table-uuid", "uuid": created["metadata"]["table-uuid"]}]);
    let set = json!([{"action": "set-properties", "updates": {"k": "v"}}]);
    let (status, committed) = server.commit(uuid, set.clone()).await;
    assert_eq!(status, 200, "{committed}");
    assert_eq!(committed["metadata"]["properties"]["k"], json!("v"));
    assert_eq!(committed["metadata"]["metadata-log"][0]["metadata-file"], created["metadata-location"]);

    let wrong = json!([{"type": "assert-table-uuid", "uuid": "00000000-0000-4000-8000-000000000000"}]);
    assert_refused(&server.commit(wrong, set).await, 409, "CommitFailedException");

    assert_eq!(server.commit(main_is(None), append(11, None, 1)).await.0, 200);
    let null_again = server.commit(main_is(None), append(12, Some(11), 2)).await;
    assert_refused(&null_again, 409, "CommitFailedException");
    assert_eq!(server.commit(main_is(Some(11)), append(12, Some(11), 2)).await.0, 200);
    let stale = server.commit(main_is(Some(11)), append(13, Some(11), 3)).await;
    assert_refused(&stale, 409, "CommitFailedException");
    let invalid = server.commit(json!([]), append(13, Some(12), 2)).await;
    assert_refused(&invalid, 400, "ValidationException");

    let (_, all) = server.get("/v1/namespaces/ns/tables/t?snapshots=all").await;
    assert_eq!(all["metadata"]["snapshots"].as_array().unwrap().len(), 2);
    let (_, refs) = server.get("/v1/namespaces/ns/tables/t?snapshots=refs").await;
    assert_eq!(refs["metadata"]["snapshots"].as_array().unwrap().len(), 1);
    assert_eq!(refs["metadata"]["current-snapshot-id"], json!(12));
    let unknown = server.get("/v1/namespaces/ns/tables/t?snapshots=some").await;
    assert_refused(&unknown, 400, "BadRequestException");
    assert_eq!(metadata_files(&all), 4, "one file a commit, none of a refused one");
}

#[tokio::test]
async fn a_staged_table_comes_into_being_by_its_first_commit_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post("/v1/namespaces", json!({"namespace": ["ns"]})).await;
    let (status, staged) = server.post("/v1/namespaces/ns/tables", table_request("t", true)).await;
    assert_eq!((status, &staged["metadata-location"]), (200, &Value::Null));
    assert_eq!(server.send(Method::HEAD, "/v1/namespaces/ns/tables/t", None).await.0, 404);

    let mut updates = creation(&staged);
    updates.as_array_mut().unwrap().extend(append(21, None, 1).as_array().unwrap().clone());
    let create = json!([{"type": "assert-create"}]);
    let (status, committed) = server.commit(create.clone(), updates.clone()).await;
    assert_eq!(status, 200, "{committed}");
    let (was, is) = (&staged["metadata"], &committed["metadata"]);
    for key in ["table-uuid", "location", "schemas", "partition-specs", "sort-orders", "properties", "last-column-id"] {
        assert_eq!(was[key], is[key], "{key}");
    }
    for key in ["default-spec-id", "last-partition-id", "default-sort-order-id", "current-schema-id"] {
        assert_eq!(was[key], is[key], "{key}");
    }
    assert_eq!(is["current-snapshot-id"], json!(21));
    assert_refused(&server.commit(create, updates).await, 409, "CommitFailedException");
}

#[tokio::test]
async fn a_creating_commit_keeps_the_field_ids_that_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post("/v1/namespaces", json!({"namespace": ["ns"]})).await;
    let location = format!("file://{}/warehouse/ns/own", dir.path().canonicalize().unwrap().display());
    let schema = json!({"type": "struct", "schema-id": 0, "fields": [
        {"id": 17, "name": "at", "type": "timestamptz", "required": true}]});
    let order = json!({"order-id": 1, "fields": [
        {"source-id": 17, "transform": "identity", "direction": "asc", "null-order": "nulls-first"}]});
    let updates = json!([{"action": "add-schema", "schema": schema}, {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": {"fields": [{"source-id": 17, "name": "d", "transform": "day"}]}},
        {"action": "set-default-spec", "spec-id": -1}, {"action": "add-sort-order", "sort-order": order},
        {"action": "set-default-sort-order", "sort-order-id": -1}, {"action": "set-location", "location": location}]);
    let (status, committed) = server.commit(json!([{"type": "assert-create"}]), updates).await;
    assert_eq!(status, 200, "{committed}");
    let metadata = &committed["metadata"];
    assert_eq!(metadata["schemas"][0]["fields"][0]["id"], json!(17));
    assert_eq!(metadata["partition-specs"].as_array().unwrap().len(), 1);
    assert_eq!(metadata["partition-specs"][0]["fields"][0]["field-id"], json!(1000));
    assert_eq!(metadata["sort-orders"].as_array().unwrap().len(), 1);
    assert_eq!((&metadata["last-column-id"], &metadata["last-partition-id"]), (&json!(17), &json!(1000)));
}

#[tokio::test]
async fn of_eight_commits_with_the_same_base_exactly_one_wins_whichever_process_it_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (one, table) = Server::with_table(dir.path()).await;
    let two = Server::start(dir.path()).await;
    let commits = (0..8_i64).map(|i| {
        let server = if i % 2 == 0 { &one } else { &two };
        server.commit(main_is(None), append(100 + i, None, 1))
    });
    let answers = futures::future::join_all(commits).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1);
    for refused in answers.iter().filter(|(status, _)| *status != 200) {
        assert_refused(refused, 409, "CommitFailedException");
    }
    assert_eq!(metadata_files(&table), 2, "a lost commit left its metadata file");
    let winner = answers.iter().find(|(status, _)| *status == 200).unwrap();
    for server in [&one, &two] {
        let (_, loaded) = server.get("/v1/namespaces/ns/tables/t").await;
        assert_eq!(loaded["metadata-location"], winner.1["metadata-location"]);
    }
}

#[tokio::test]
async fn old_metadata_files_are_deleted_when_the_table_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (server, created) = Server::with_table(dir.path()).await;
    let set = |pairs: Value| json!([{"action": "set-properties", "updates": pairs}]);
    let ask = json!({"write.metadata.delete-after-commit.enabled": "true",
                     "write.metadata.previous-versions-max": "2"});
    assert_eq!(server.commit(json!([]), set(ask)).await.0, 200);
    for value in 0..5 {
        assert_eq!(server.commit(json!([]), set(json!({"n": value.to_string()}))).await.0, 200);
    }
    assert_eq!(metadata_files(&created), 3, "the current file and two before it");
    assert_eq!(server.get("/v1/namespaces/ns/tables/t").await.1["metadata"]["properties"]["n"], json!("4"));
}
