//! The page stands on its own: its files name nobody else, and in a real browser (where there is one) it shows the streams
//! without an error.
#![cfg(feature = "http")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::broker::await_for;
use crate::support::daemon::{Daemon, program};
use crate::support::http::{address, get, listening};
use crate::support::sound::{bytes, whistles};

const FILES: [&str; 3] = ["/", "/page.css", "/icon.svg"];
const SCRIPTS: [&str; 21] = [
    "/ask.js",
    "/axes.js",
    "/clip.js",
    "/day.js",
    "/draw.js",
    "/events.js",
    "/filter.js",
    "/health.js",
    "/heatmap.js",
    "/labels.js",
    "/live.js",
    "/normal.js",
    "/operate.js",
    "/page.js",
    "/picture.js",
    "/readout.js",
    "/review.js",
    "/similar.js",
    "/spectrum.js",
    "/streams.js",
    "/words.js",
];
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_page_is_complete_and_loads_nothing_external() {
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

/// A proxy that a browser is told to use for all addresses but this machine: it notes who is asked for, and refuses.
struct Elsewhere {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What Chromium asks for by itself, whatever page it shows.
const OF_THE_BROWSER: [&str; 8] = [
    "accounts.google.",
    "clients",
    "content-autofill.",
    "optimizationguide",
    "redirector.gvt1.",
    "safebrowsing",
    "update.googleapis.",
    "www.google.",
];

impl Elsewhere {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                let _ = BufReader::new(stream).read_line(&mut line);
                notes.lock().unwrap().push(line);
            }
        });
        Self { port, asked }
    }

    /// Requests that a page caused. A connection on which nothing is asked (browsers open some ahead) names nobody.
    fn foreign(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let host = |line: &String| {
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            target.trim_start_matches("http://").to_owned()
        };
        let own = |line: &&String| !OF_THE_BROWSER.iter().any(|start| host(line).starts_with(start));
        asked.iter().filter(|line| !line.trim().is_empty()).filter(own).cloned().collect()
    }
}

/// The page as a browser shows it after some seconds of its own time, and what it complained of; None without a browser.
fn browse(home: &Path, url: &str, elsewhere: &Elsewhere) -> Option<(String, Vec<String>)> {
    let there = |name: &&&str| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    let browser = ["chromium", "chromium-browser", "google-chrome"].iter().find(there)?;
    // the live link never ends: the browser looks for some seconds of its own time
    let seen = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=6000", "--dump-dom"])
        .args(["--enable-logging=stderr", "--v=0", "--disable-background-networking"])
        .arg(format!("--proxy-server=127.0.0.1:{}", elsewhere.port))
        .arg(format!("--user-data-dir={}", home.join("browser").display()))
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&seen.stderr);
    let complaints = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Some((String::from_utf8_lossy(&seen.stdout).into_owned(), complaints))
}

#[test]
fn a_browser_shows_the_streams_without_an_error() {
    let home = tempfile::tempdir().unwrap();
    let elsewhere = Elsewhere::start();
    let bad =
        "data:text/html,<img src='http://elsewhere.example/x.png'><script>console.error('teeth')</script>";
    let Some((shown, complaints)) = browse(home.path(), bad, &elsewhere) else {
        eprintln!("no Chromium here: the page was not looked at");
        return;
    };
    if shown.is_empty() {
        eprintln!("the browser of this machine shows nothing at all: the page was not looked at");
        return;
    }
    // both would be noticed
    assert!(complaints.iter().any(|line| line.contains("teeth")), "{complaints:?}");
    assert!(
        elsewhere.foreign().iter().any(|line| line.contains("elsewhere.example")),
        "{:?}",
        elsewhere.foreign()
    );

    let elsewhere = Elsewhere::start();
    let (mut daemon, at) = listening(home.path(), 12);
    let mut stdin = daemon.stdin();
    stdin.write_all(&bytes(&whistles(35, 18))).unwrap();
    stdin.flush().unwrap();
    await_for("events", Duration::from_secs(120), || {
        (!get(&at, "/api/v1/events").json()["events"].as_array().unwrap().is_empty()).then_some(())
    });
    // no page has looked yet: the spectrogram of before is there all the same
    let past = get(&at, "/api/v1/spectrogram?stream=stdin").json();
    let [times, bands] = ["t_s", "bands"].map(|key| past[key].as_array().unwrap().len());
    assert!(times == bands && (300..=1200).contains(&times), "{times} {bands}");
    assert_eq!(get(&at, "/api/v1/spectrogram?stream=attic").code, 404);
    let (page, complaints) = browse(home.path(), &format!("http://{at}/"), &elsewhere).unwrap();
    assert!(complaints.is_empty(), "{complaints:?}");
    assert_eq!(elsewhere.foreign(), Vec::<String>::new());
    for word in ["role=\"option\"", "<summary", "class=\"kind\">", ">live<", "Learnt from"] {
        assert!(page.contains(word), "no {word} in\n{page}");
    }
    drop(stdin);
    daemon.finish(LIMIT);
}

#[test]
fn many_streams_are_listed_and_searched() {
    let home = tempfile::tempdir().unwrap();
    let elsewhere = Elsewhere::start();
    let channels: Vec<String> = (0..24).map(|n| n.to_string()).collect();
    let mut command = program(home.path());
    command
        .args(["--input", "-", "--http", "127.0.0.1:0", "--stdin-channels", "24"])
        .args(["--channel", &channels.join(",")]);
    let mut daemon = Daemon::start(command.stdin(Stdio::piped()));
    let at = address(&daemon);
    if let Some((page, complaints)) = browse(home.path(), &format!("http://{at}/"), &elsewhere)
        && !page.is_empty()
    {
        assert_eq!(page.matches("role=\"option\"").count(), 24, "{page}");
        assert!(page.contains("0 of 24 watching") && page.contains("class=\"many\""), "{page}");
        let find = page.split("id=\"find-label\"").nth(1).unwrap().split('>').next().unwrap();
        assert!(!find.contains("hidden"), "{find}");
        assert!(complaints.is_empty(), "{complaints:?}");
        assert_eq!(elsewhere.foreign(), Vec::<String>::new());
    }
    drop(daemon.stdin());
    daemon.finish(LIMIT);
}
