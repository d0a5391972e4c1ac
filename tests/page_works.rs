//! The page stands on its own: its files name nobody else, and in a real browser (where there is one) it shows the streams
//! without an error.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::broker::await_for;
use support::http::{get, listening};
use support::sound::{bytes, whistles};

const FILES: [&str; 3] = ["/", "/page.css", "/icon.svg"];
const SCRIPTS: [&str; 9] = [
    "/ask.js",
    "/draw.js",
    "/events.js",
    "/health.js",
    "/live.js",
    "/normal.js",
    "/page.js",
    "/streams.js",
    "/words.js",
];
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_page_is_whole_and_names_nobody_else() {
    let home = tempfile::tempdir().unwrap();
    let (mut daemon, at) = listening(home.path(), 12);
    let [page, style, icon] = FILES.map(|file| get(&at, file).body);
    let script = SCRIPTS.map(|file| get(&at, file).body).concat();
    // what a script imports is among those that were looked at
    for named in script.split("from './").skip(1).map(|rest| rest.split('\'').next().unwrap()) {
        assert!(SCRIPTS.contains(&format!("/{named}").as_str()), "{named}");
    }
    for text in [&page, &script, &style, &icon] {
        let foreign = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("http://") && !foreign.contains("https://") && !foreign.contains("//cdn"));
    }
    // what the policy of the page forbids
    assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains("onclick="));
    assert!(!script.contains("innerHTML") && !script.contains("eval("));
    // what the script looks for is there
    for id in script.split("$('").skip(1).map(|rest| rest.split('\'').next().unwrap()) {
        assert!(page.contains(&format!("id=\"{id}\"")), "the page has no {id}");
    }
    // what needs a name has one
    for canvas in page.split("<canvas").skip(1).map(|rest| rest.split('>').next().unwrap()) {
        assert!(canvas.contains("aria-label") || canvas.contains("aria-describedby"), "{canvas}");
    }
    for word in ["lang=\"en\"", "name=\"viewport\"", "<noscript>", "aria-live", "role=\"listbox\"", "<main"] {
        assert!(page.contains(word), "{word}");
    }
    assert!(style.contains("prefers-reduced-motion") && script.contains("prefers-color-scheme"));
    drop(daemon.stdin());
    daemon.finish(LIMIT);
}

#[test]
fn a_browser_shows_the_streams_without_an_error() {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let there = |name: &&&str| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    let Some(browser) = names.iter().find(there) else {
        eprintln!("no Chromium here: the page was not looked at");
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (mut daemon, at) = listening(home.path(), 12);
    let mut stdin = daemon.stdin();
    stdin.write_all(&bytes(&whistles(35, 18))).unwrap();
    stdin.flush().unwrap();
    await_for("events", Duration::from_secs(120), || {
        (!get(&at, "/api/v1/events").json()["events"].as_array().unwrap().is_empty()).then_some(())
    });
    // the live link never ends: the browser looks for some seconds of its own time
    let seen = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=6000", "--dump-dom"])
        .args(["--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", home.path().join("browser").display()))
        .arg(format!("http://{at}/"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (page, log) = (String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&seen.stderr));
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    if page.is_empty() {
        eprintln!("the browser of this machine shows nothing at all: the page was not looked at");
        return;
    }
    for word in ["role=\"option\"", "<summary", ">live<", "Learnt from"] {
        assert!(page.contains(word), "no {word} in\n{page}");
    }
    drop(stdin);
    daemon.finish(LIMIT);
}
