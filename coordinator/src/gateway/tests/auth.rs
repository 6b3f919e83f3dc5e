//! Who gets in, and with which rights.

use axum::http::HeaderValue;
use protocol::admin::KeyRole;

use super::*;
use crate::gateway::directory::KeyRecord;
use crate::gateway::tests::fake_cluster::FakeCluster;

fn auth(policy: KeyPolicy) -> Auth {
    let cluster = FakeCluster::answering("");
    let key =
        |name: &str, role, text: &str| KeyRecord::new(name, role, Digest::of(text.as_bytes()));
    cluster.set_keys(vec![
        key("ci", KeyRole::User, "trk-user"),
        key("ops", KeyRole::Admin, "trk-admin"),
    ]);
    Auth { policy, directory: cluster }
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
    headers
}

#[test]
fn a_key_is_taken_from_either_header() {
    let auth = auth(KeyPolicy::Required);
    for (header, value, name) in [
        ("authorization", "Bearer trk-user", "ci"),
        ("authorization", "bearer  trk-admin ", "ops"),
        ("x-api-key", "trk-user", "ci"),
    ] {
        let caller = auth.caller(&headers(header, value)).expect("a known key");
        assert_eq!(caller.name, name, "{header}: {value}");
    }
}

#[test]
fn nobody_else_gets_in() {
    let auth = auth(KeyPolicy::Required);
    for (header, value) in [
        ("authorization", "Bearer trk-use"),
        ("authorization", "Bearer trk-user2"),
        ("authorization", "Basic trk-user"),
        ("authorization", "Bearer "),
        ("authorization", "x"),
        ("x-api-key", ""),
        ("x-other", "trk-user"),
    ] {
        let error = auth.caller(&headers(header, value)).expect_err(value);
        assert_eq!((error.status.as_u16(), error.code), (401, Some("invalid_api_key")));
    }
}

#[test]
fn a_route_takes_the_roles_of_its_line_and_one_without_a_line_takes_none() {
    let auth = auth(KeyPolicy::Required);
    let status = |key: &str, method: Method, path: &str| {
        let called = auth.authorise(&headers("x-api-key", key), &method, path);
        called.map_or_else(|refused| refused.status.as_u16(), |_| 200)
    };
    assert_eq!(status("trk-user", Method::POST, "/admin/v1/keys"), 403);
    assert_eq!(status("trk-admin", Method::POST, "/admin/v1/keys"), 200);
    assert_eq!(status("trk-user", Method::POST, "/v1/chat/completions"), 200);
    assert_eq!(status("trk-user", Method::HEAD, "/models"), 200);
    for path in ["/admin/v1/forgotten", "", "/v1/admin/v1/forgotten"] {
        assert_eq!(status("trk-admin", Method::GET, path), 403, "{path}");
    }
    // The router says that there is no such method.
    assert_eq!(status("trk-user", Method::PUT, "/admin/v1/keys"), 403);
    assert_eq!(status("trk-admin", Method::PUT, "/admin/v1/keys"), 200);
}

#[test]
fn an_expired_key_says_so() {
    let auth = auth(KeyPolicy::Required);
    let cluster = FakeCluster::answering("");
    let hash = Digest::of(b"trk-old");
    let expires_at = Some(crate::state::Timestamp(1000));
    let record = KeyRecord::new("old", KeyRole::Admin, hash);
    cluster.set_keys(vec![KeyRecord { expires_at, ..record }]);
    let auth = Auth { directory: cluster, ..auth };
    let error = auth.caller(&headers("x-api-key", "trk-old")).expect_err("expired");
    assert_eq!(error.status.as_u16(), 401);
    assert!(error.message.contains("`old` expired at 1970"), "{}", error.message);
}

#[test]
fn on_loopback_no_key_is_asked_for() {
    let caller = auth(KeyPolicy::Open).caller(&HeaderMap::new()).expect("open");
    assert_eq!(caller.role, KeyRole::Admin);
}

#[test]
fn a_page_of_another_site_is_not_the_person_at_this_machine() {
    let auth = auth(KeyPolicy::Open);
    for (origin, passes) in [
        ("http://localhost:3000", true),
        ("http://127.0.0.1", true),
        ("http://[::1]:8443", true),
        ("https://evil.example", false),
        ("http://localhost.evil.example", false),
        ("http://127.0.0.1.evil.example:8443", false),
        ("null", false),
    ] {
        assert_eq!(auth.caller(&headers("origin", origin)).is_ok(), passes, "{origin}");
    }
}
