//! Tests the page in a real browser: headless Chromium, controlled by its `DevTools` protocol over
//! a pipe. It accesses only the file. Without Chromium, the test prints that it is absent.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use backlog_tests::browser::Browser;
use serde_json::json;

use super::made_up::{host, page};

/// Opens a page in a browser, if there is one.
fn open(html: &str) -> Option<(Browser, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    fs::write(&file, html).unwrap();
    let Some(mut browser) = Browser::start() else {
        // Not with a macro, whose output is shown only for failing tests.
        let text = "absent: the report in a browser: no chromium (cargo xtask setup installs it)";
        writeln!(io::stderr(), "{text}").unwrap();
        return None;
    };
    if let Some(folder) = std::env::var_os("BACKLOG_PICTURES") {
        fs::copy(&file, Path::new(&folder).join("report.html")).unwrap();
    }
    browser.open(&format!("file://{}", file.display()));
    Some((browser, folder))
}

/// Keeps a picture or page in the folder named by this variable, for inspection.
fn keep(name: &str, png: &[u8]) {
    assert!(png.starts_with(b"\x89PNG") && png.len() > 20_000, "{name}: {} bytes", png.len());
    if let Some(folder) = std::env::var_os("BACKLOG_PICTURES") {
        fs::write(Path::new(&folder).join(name), png).unwrap();
    }
}

#[test]
fn a_browser_shows_all_of_it_without_a_complaint() {
    let Some((mut browser, _folder)) = open(&page(&host(1))) else { return };
    // Each plot is present and has a size, a title and a description.
    let plots = browser.ask(
        "[...document.querySelectorAll('svg[role=img]')].map(svg => {
            const ids = svg.getAttribute('aria-labelledby').split(' ');
            const words = ids.map(id => document.getElementById(id).textContent);
            const box = svg.getBoundingClientRect();
            return box.width > 100 && box.height > 50 && words.every(word => word.length > 5)
                && svg.querySelectorAll('text').length > 3;
        })",
    );
    let plots = plots.as_array().unwrap();
    assert_eq!(plots.len(), 2 * 5);
    assert!(plots.iter().all(|fine| fine == true), "{plots:?}");
    // Heading levels are not skipped, IDs are unique, and each cell has a header.
    let orderly = browser.ask(
        "(() => {
            const levels = [...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1]);
            const ids = [...document.querySelectorAll('[id]')].map(one => one.id);
            const th = [...document.querySelectorAll('th')];
            return [
                levels[0] === 1 && levels.filter(level => level === 1).length === 1,
                levels.every((level, at) => at === 0 || level <= levels[at - 1] + 1),
                new Set(ids).size === ids.length,
                th.every(one => one.scope === 'col' || one.scope === 'row'),
                document.documentElement.lang === 'en',
            ];
        })()",
    );
    assert_eq!(orderly, json!([true, true, true, true, true]));
    let roles = browser.roles();
    for role in ["banner", "main", "contentinfo", "heading", "table", "rowheader", "time"] {
        assert!(roles.iter().any(|one| one == role), "{role} of {roles:?}");
    }
    // The page has loaded nothing, logged nothing and opened nothing.
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(browser.fetched().len(), 1, "{:?}", browser.fetched());
}

#[test]
fn it_has_a_light_and_a_dark_face_and_one_for_paper() {
    let Some((mut browser, _folder)) = open(&page(&host(1))) else { return };
    let ground = "getComputedStyle(document.body).backgroundColor";
    let area = "getComputedStyle(document.querySelector('svg polygon')).fill";
    let mut faces = Vec::new();
    for (media, scheme) in [("screen", "light"), ("screen", "dark"), ("print", "dark")] {
        browser.media(media, scheme);
        faces.push((browser.ask(ground), browser.ask(area)));
        keep(&format!("{media}-{scheme}.png"), &browser.picture());
    }
    assert_eq!(faces[0].0, "rgb(255, 255, 255)");
    assert_ne!(faces[0], faces[1]);
    // The colours of a plot follow the theme, and paper is white in dark mode, too.
    assert_ne!(faces[0].1, faces[1].1);
    assert_eq!(faces[0], faces[2]);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn it_fits_a_telephone_and_can_be_zoomed() {
    let Some((mut browser, _folder)) = open(&page(&host(1))) else { return };
    browser.width(400);
    let wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.ask(wider), 0);
    keep("narrow.png", &browser.picture());
    browser.width(1100);
    let zoomed = browser.ask(
        "(() => {
            const figure = document.querySelector('figure.time');
            const width = () => figure.querySelector('svg').getBoundingClientRect().width;
            const before = width();
            const [larger, , whole] = figure.querySelectorAll('button');
            larger.click();
            const after = width();
            whole.click();
            return [Math.round(after / before), Math.round(width() / before)];
        })()",
    );
    assert_eq!(zoomed, json!([2, 1]));
    assert_eq!(browser.ask(wider), 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn what_is_not_ours_would_not_run() {
    let foreign =
        "<script>document.title = 'ran'</script><img src='http://192.0.2.1/x.png'></main>";
    let html = page(&host(1)).replace("</main>", foreign);
    let Some((mut browser, _folder)) = open(&html) else { return };
    assert_ne!(browser.ask("document.title"), "ran");
    let complaints = browser.complaints();
    assert!(complaints.len() >= 2, "{complaints:?}");
    assert!(
        complaints.iter().all(|text| text.contains("Content Security Policy")),
        "{complaints:?}"
    );
}
