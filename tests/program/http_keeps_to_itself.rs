//! Who may read over HTTP: nobody by default; this machine, but no website; others with the token only.
#![cfg(feature = "http")]

use std::process::Stdio;
use std::time::Duration;

use crate::support::daemon::{Daemon, program, run};
use crate::support::http::{address, ask, get};

const LIMIT: Duration = Duration::from_secs(60);
const TOKEN: &str = "0123456789abcdef0123";
const SECRETS: [&str; 4] = ["/metrics", "/api/v1/overview", "/api/v1/events", "/api/v1/live"];

fn start(home: &std::path::Path, arguments: &[&str]) -> Daemon {
    Daemon::start(program(home).args(["--input", "-"]).args(arguments).stdin(Stdio::piped()))
}

#[test]
fn no_server_without_configuration() {
    let home = tempfile::tempdir().unwrap();
    let outcome = run(home.path(), &["--input", "-"], LIMIT);
    assert!(!outcome.stderr.contains("the page is at"), "{}", outcome.stderr);
    let outcome = run(home.path(), &["health"], LIMIT);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
}

#[test]
fn an_address_that_others_reach_is_refused_without_a_good_token() {
    let home = tempfile::tempdir().unwrap();
    let outcome = run(home.path(), &["--input", "-", "--http", "0.0.0.0:0"], LIMIT);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("token_file") && outcome.stderr.contains("fix:"), "{}", outcome.stderr);
    std::fs::write(home.path().join("short"), "tiny\n").unwrap();
    for (file, word) in [("short", "4 characters"), ("nothing", "nothing")] {
        let text = format!("[http]\nlisten = \"0.0.0.0:0\"\ntoken_file = \"{file}\"\n");
        std::fs::write(home.path().join("c.toml"), text).unwrap();
        let outcome = run(home.path(), &["--config", "c.toml", "--input", "-"], LIMIT);
        assert_eq!(outcome.code, Some(2));
        assert!(
            outcome.stderr.contains(word)
                && outcome.stderr.contains("http.token_file") | outcome.stderr.contains("token"),
            "{}",
            outcome.stderr
        );
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let outcome = run(home.path(), &["--input", "-", "--http", &at], LIMIT);
    assert!(outcome.code == Some(2) && outcome.stderr.contains("cannot listen at"), "{}", outcome.stderr);
}

/// As behind the ingress of Home Assistant: names and origins are those of the proxy, and the page stands in its frame.
#[test]
fn a_trusted_proxy_looks_without_the_token() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let of = |proxies: &str| {
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"token\"\ntrusted_proxies = [{proxies}]\n"
        );
        std::fs::write(home.path().join("c.toml"), text).unwrap();
        start(home.path(), &["--config", "c.toml"])
    };
    let headers = [("Host", "homeassistant.local:8123"), ("Origin", "http://homeassistant.local:8123")];
    for (proxies, code, frame) in [("\"127.0.0.1\"", 200, "'self'"), ("\"127.0.0.2\"", 401, "'none'")] {
        let mut daemon = of(proxies);
        let at = address(&daemon);
        let answer = ask(&at, "GET", "/api/v1/overview", &headers);
        assert_eq!(answer.code, code, "{}", answer.body);
        let page = ask(&at, "GET", "/", &[]);
        assert!(page.head.contains(&format!("frame-ancestors {frame}")), "{}", page.head);
        if code == 200 {
            assert_eq!(answer.json()["review"]["allowed"], false);
        }
        drop(daemon.stdin());
        daemon.finish(LIMIT);
    }
}

/// Each address has its own share of guesses; also where reading needs no token, a wrong one is refused.
#[test]
fn guesses_in_parallel_are_limited_and_lock_nobody_else_out() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let text = "[http]\nlisten = \"127.0.0.1:0\"\noperator_token_file = \"token\"\ntrusted_proxies = [\"127.0.0.1\"]\n";
    std::fs::write(home.path().join("c.toml"), text).unwrap();
    let mut daemon = start(home.path(), &["--config", "c.toml"]);
    let at = address(&daemon);
    let show = |client: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        ask(&at, "GET", "/api/v1/overview", &[("Authorization", &bearer), ("X-Forwarded-For", client)])
    };
    std::thread::scope(|scope| {
        let guess = |n: usize| show("10.0.0.1", &format!("guess-{n:016}"));
        let guesses: Vec<_> = (0..40).map(|n| scope.spawn(move || guess(n))).collect();
        daemon.await_log(&["10.0.0.1 shows a wrong token at /api/v1/overview"], LIMIT);
        let other = show("10.0.0.2", TOKEN);
        assert_eq!((other.code, &other.json()["review"]["allowed"]), (200, &true.into()), "another address");
        let answers: Vec<_> = guesses.into_iter().map(|guess| guess.join().unwrap()).collect();
        let of = |code: u16| answers.iter().filter(|answer| answer.code == code).count();
        assert!((1..=8).contains(&of(401)) && of(401) + of(429) == 40, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.code == 401 || answer.head.contains("retry-after: ")));
    });
    // no guess, no limit; and who looks without a token does not become an operator by that
    assert_eq!(get(&at, "/api/v1/overview").json()["review"]["allowed"], false);
    drop(daemon.stdin());
    daemon.finish(LIMIT);
}

#[test]
fn without_a_token_only_this_machine_asks_and_no_website() {
    let home = tempfile::tempdir().unwrap();
    let mut daemon = start(home.path(), &["--http", "127.0.0.1:0"]);
    let at = address(&daemon);
    let port = at.rsplit(':').next().unwrap();
    for path in ["/", "/healthz", "/readyz", "/metrics", "/page.js", "/page.css", "/api/v1/overview"] {
        let answer = get(&at, path);
        assert_eq!(answer.code, 200, "{path}: {}", answer.body);
        for header in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff"] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
        assert!(!answer.head.contains("unsafe-inline") && !answer.head.contains("access-control-allow"));
        let rebound = format!("evil.example:{port}");
        assert_eq!(ask(&at, "GET", path, &[("Host", &rebound)]).code, 403, "{path}");
        for host in ["evil.example@localhost".to_owned(), format!("evil.example@{at}")] {
            assert_eq!(ask(&at, "GET", path, &[("Host", &host)]).code, 403, "{path}");
        }
        assert_eq!(ask(&at, "GET", path, &[("Host", &at), ("Host", &rebound)]).code, 403, "{path}");
        assert_eq!(ask(&at, "GET", path, &[("Origin", "http://evil.example")]).code, 403, "{path}");
        let own = format!("http://{at}");
        let twice = [("Origin", own.as_str()), ("Origin", "http://evil.example")];
        assert_eq!(ask(&at, "GET", path, &twice).code, 403, "{path}");
        assert_eq!(ask(&at, "GET", path, &[("Sec-Fetch-Site", "cross-site")]).code, 403, "{path}");
        assert_eq!(ask(&at, "POST", path, &[("Content-Length", "0")]).code, 405, "{path}");
    }
    assert_eq!(get(&at, "/nothing").code, 404);
    let long = "x".repeat(64 * 1024);
    assert_ne!(ask(&at, "GET", "/", &[("X-Long", &long)]).code, 200);
    assert_ne!(ask(&at, "GET", &format!("/{long}"), &[]).code, 200);

    let outcome = run(home.path(), &["health", "--http", &at], LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("sound from 1 of 1 stream, "), "{}", outcome.stdout);
    drop(daemon.stdin());
    daemon.finish(LIMIT);
    let outcome = run(home.path(), &["health", "--http", &at], LIMIT);
    assert!(outcome.code == Some(70) && outcome.stderr.contains("no daemon answers"), "{}", outcome.stderr);
}

#[test]
fn with_a_token_set_requests_without_it_read_only_the_probes() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let text = "[http]\nlisten = \"0.0.0.0:0\"\ntoken_file = \"token\"\n[log]\nformat = \"json\"\n";
    std::fs::write(home.path().join("c.toml"), text).unwrap();
    let daemon = start(home.path(), &["--config", "c.toml"]);
    let everywhere = address(&daemon);
    let at = everywhere.replace("0.0.0.0", "127.0.0.1");
    for path in SECRETS {
        let answer = get(&at, path);
        assert_eq!(answer.code, 401, "{path}");
        assert!(answer.head.contains("www-authenticate: bearer") && !answer.body.contains("stdin"));
        for wrong in ["Bearer 0123456789abcdef0124", "Bearer", TOKEN, "Basic 0123456789abcdef0123"] {
            assert_eq!(ask(&at, "GET", path, &[("Authorization", wrong)]).code, 401, "{path} {wrong}");
        }
    }
    let right = format!("Bearer {TOKEN}");
    for path in &SECRETS[..3] {
        assert_eq!(ask(&at, "GET", path, &[("Authorization", &right)]).code, 200, "{path}");
        let foreign = [("Authorization", right.as_str()), ("Origin", "http://evil.example")];
        assert_eq!(ask(&at, "GET", path, &foreign).code, 403, "{path}");
    }
    for path in ["/", "/healthz", "/readyz", "/page.js"] {
        assert_eq!(get(&at, path).code, 200, "{path}");
    }
    std::fs::write(home.path().join("ask.toml"), text.replace("0.0.0.0:0", &everywhere)).unwrap();
    let outcome = run(home.path(), &["health", "--config", "ask.toml", "--json"], LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let said: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(said["ready"], true);
    let outcome = run(home.path(), &["health", "--http", &at], LIMIT);
    assert!(outcome.code == Some(2) && outcome.stderr.contains("token"), "{}", outcome.stderr);

    let (outcome, _) = daemon.stop(LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(TOKEN), "the token is in no log");
    for line in outcome.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["level"].is_string() && line["fields"]["message"].is_string());
    }
}
