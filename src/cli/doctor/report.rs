//! What was found, as people read it and as machines do.

use serde_json::{Value, json};

use super::Token;
use super::findings::{Finding, Level};
use crate::cli::output::{named, say};
use crate::web::text::visible;

/// The longest detail that is shown, in characters.
const LONGEST: usize = 400;

/// Whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines, as they come.
    Text,
    /// One JSON object at the end.
    Json,
}

/// What is said, in the order in which it was found.
#[derive(Debug)]
pub(super) struct Report {
    form: Form,
    hidden: Option<Token>,
    group: &'static str,
    has_group_line: bool,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    group: &'static str,
    /// Nothing for what is as it should be.
    finding: Option<&'static Finding>,
    text: String,
}

impl Report {
    /// An empty one.
    pub(super) fn new(form: Form) -> Self {
        Self { form, hidden: None, group: "", has_group_line: true, lines: Vec::new() }
    }

    /// The same, and this is never in it, whoever says it.
    pub(super) fn hiding(self, token: Option<Token>) -> Self {
        Self { hidden: token, ..self }
    }

    /// What follows is about this.
    pub(super) fn group(&mut self, group: &'static str) {
        self.group = group;
        self.has_group_line = false;
    }

    /// Something is as it should be.
    pub(super) fn ok(&mut self, text: impl AsRef<str>) {
        self.add(None, text.as_ref());
    }

    /// Something was found; `detail` says where and how it shows.
    pub(super) fn found(&mut self, finding: &'static Finding, detail: impl AsRef<str>) {
        self.add(Some(finding), detail.as_ref());
    }

    /// Whether this was found.
    pub(super) fn has(&self, finding: &Finding) -> bool {
        self.lines.iter().any(|line| line.finding.is_some_and(|found| found.id == finding.id))
    }

    fn add(&mut self, finding: Option<&'static Finding>, text: &str) {
        let line = Line { group: self.group, finding, text: self.shown(text) };
        if self.form == Form::Text {
            if !std::mem::replace(&mut self.has_group_line, true) {
                say(&format!("{}{}", if self.lines.is_empty() { "" } else { "\n" }, line.group));
            }
            for text in line.written() {
                say(&text);
            }
        }
        self.lines.push(line);
    }

    /// Foreign text as it may reach a terminal: one line, visible, without the token, not without end.
    fn shown(&self, text: &str) -> String {
        // What cannot be seen may stand between the token's letters, and its end may lie beyond the limit.
        let text = visible(text, usize::MAX);
        let text = match &self.hidden {
            Some(token) => text.replace(token.reveal(), "[the token]"),
            None => text,
        };
        visible(&text, LONGEST)
    }

    fn count(&self, level: Option<Level>) -> usize {
        self.lines.iter().filter(|line| line.finding.map(|finding| finding.level) == level).count()
    }

    /// Says the rest. How many faults there are.
    pub(super) fn end(&self, target: &str) -> usize {
        let counts = [
            (self.count(None), "ok", "ok"),
            (self.count(Some(Level::Note)), "note", "notes"),
            (self.count(Some(Level::Warning)), "warning", "warnings"),
            (self.count(Some(Level::Fault)), "fault", "faults"),
        ];
        let faults = counts.last().map_or(0, |(count, ..)| *count);
        match self.form {
            Form::Text => {
                let words = counts
                    .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }));
                say(&format!("\n{target}: {}.", words.join(", ")));
            }
            Form::Json => {
                let counts: serde_json::Map<String, Value> =
                    counts.iter().map(|(count, _, many)| ((*many).to_owned(), json!(count))).collect();
                let lines: Vec<Value> = self.lines.iter().map(Line::object).collect();
                say(&json!({ "target": target, "findings": lines, "counts": counts }).to_string());
            }
        }
        faults
    }
}

impl Line {
    /// The line, and below it the cure.
    fn written(&self) -> Vec<String> {
        match self.finding {
            None => vec![format!("  \u{2713} ok       {}", self.text)],
            Some(finding) => {
                let mark = match finding.level {
                    Level::Note => '-',
                    Level::Warning => '!',
                    Level::Fault => '\u{2717}',
                };
                let word = finding.level.word();
                vec![
                    format!("  {mark} {word:<8} {}: {} {}", finding.id, finding.meaning, self.text)
                        .trim_end()
                        .to_owned(),
                    format!("             Cure: {}", named(finding.cure)),
                ]
            }
        }
    }

    fn object(&self) -> Value {
        match self.finding {
            None => json!({ "group": self.group, "level": "ok", "detail": self.text }),
            Some(Finding { id, level, meaning, cure }) => json!({
                "group": self.group, "id": id, "level": level.word(), "meaning": meaning,
                "detail": self.text, "cure": named(cure),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::{SLOW, TLS_NAME};
    use super::*;

    #[test]
    fn a_finding_reads_without_colour_and_has_its_cure_below() {
        let line = Line { group: "", finding: Some(&TLS_NAME), text: "(for b.example)".into() };
        let [first, second] = line.written().try_into().unwrap();
        assert!(first.starts_with("  \u{2717} fault    tls-name: The certificate"), "{first}");
        assert!(first.ends_with("(for b.example)"), "{first}");
        assert!(second.starts_with("             Cure: Get a certificate"), "{second}");
    }

    #[test]
    fn only_faults_make_a_report_bad() {
        let mut report = Report::new(Form::Json);
        report.ok("x");
        report.found(&SLOW, "x");
        assert!(report.end("t") == 0 && report.has(&SLOW) && !report.has(&TLS_NAME));
        report.found(&TLS_NAME, "x");
        assert_eq!(report.end("t"), 1);
    }

    #[test]
    fn what_others_wrote_cannot_paint_the_terminal() {
        let report = Report::new(Form::Json);
        for (text, expected) in [
            ("a\u{1b}[31m\r\nb", "a[31m b"),
            ("safe\u{202E}gpj.exe", "safegpj.exe"),
            ("\u{2066}x\u{2069}\u{200B}y\u{FEFF}", "xy"),
            ("\u{E0041}z", "z"),
        ] {
            assert_eq!(report.shown(text), expected, "{text:?}");
        }
        assert_eq!(report.shown(&"x".repeat(500)).chars().count(), LONGEST);
    }

    #[test]
    fn the_token_is_not_said_whoever_says_it() {
        let token = Token("eyJ.secret".to_owned());
        assert!(!format!("{token:?}").contains("secret"));
        let mut report = Report::new(Form::Json).hiding(Some(token));
        report.ok("eyJ.secret, eyJ.\u{200B}sec\u{7}ret");
        report.found(&SLOW, format!("{}eyJ.secret", "x".repeat(LONGEST - 5)));
        let text = format!("{:?}", report.lines);
        assert!(text.contains("[the token], [the token]") && !text.contains("eyJ"), "{text}");
    }
}
