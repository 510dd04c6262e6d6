//! Everything that can be found, each with what it means and what cures it. The page `docs/src/operate/doctor.md` lists
//! the same.

mod dance;
mod entrance;
mod inside;

pub(super) use dance::*;
pub(super) use entrance::*;
pub(super) use inside::*;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Worth knowing.
    Note,
    /// Works, and will bite some day or somebody.
    Warning,
    /// Clients fail, or a door stands open.
    Fault,
}

impl Level {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// One thing that can be found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Its name, for machines and for looking it up.
    pub(super) id: &'static str,
    /// How bad it is.
    pub(super) level: Level,
    /// What it means.
    pub(super) meaning: &'static str,
    /// What to do.
    pub(super) cure: &'static str,
}

macro_rules! findings {
    ($($name:ident $level:ident $id:literal $meaning:literal $cure:literal)+) => {
        $(
            #[doc = concat!("`", $id, "`")]
            pub(in crate::cli::doctor) const $name: Finding =
                Finding { id: $id, level: Level::$level, meaning: $meaning, cure: $cure };
        )+
        /// All of them, in the order of the checks.
        #[cfg(test)]
        pub(in crate::cli::doctor) const ALL: &[&Finding] = &[$(&$name),+];
    };
}
use findings;

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<&'static Finding> {
        [entrance::ALL, dance::ALL, inside::ALL].concat()
    }

    /// A cell of the page's table as it is written here.
    fn cell(text: &str) -> String {
        text.replace('|', "\\|")
    }

    #[test]
    fn the_page_lists_every_finding_and_no_other() {
        let page = include_str!("../../../../docs/src/operate/doctor.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = all()
            .iter()
            .map(|finding| {
                let Finding { id, level, meaning, cure } = finding;
                format!("| `{id}` | {} | {} | {} |", level.word(), cell(meaning), cell(cure))
            })
            .collect();
        for row in &expected {
            assert!(rows.contains(&row.as_str()), "the page lacks: {row}");
        }
        assert_eq!(rows.len(), expected.len(), "the page lists what does not exist");
    }

    #[test]
    fn each_has_its_own_name() {
        let names: std::collections::BTreeSet<&str> = all().iter().map(|finding| finding.id).collect();
        assert_eq!(names.len(), all().len());
    }
}
