//! Style, as a test: what a reader may rely on in every file of the workspace.
//!
//! Reads the tree, runs `compose/check`, and asks the programs for their own help; needs no server. A rule that is broken
//! is told with file and line, all at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use it::program;

/// Lines of a file at most, its unit tests aside.
const FILE_LINES_MAX: usize = 400;
/// Lines of a function at most, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// What production code never calls: each ends a process that holds other people's data.
const BANNED: [&str; 7] =
    [".unwrap()", ".expect(\"", "panic!(", "todo!(", "unimplemented!(", "dbg!(", "process::abort("];
/// What only programs for people call; libraries log.
const PRINTING: [&str; 4] = ["println!(", "eprintln!(", "print!(", "eprint!("];
/// Folders that hold nothing of ours.
const NOT_OURS: [&str; 4] = ["target", ".git", "node_modules", "__pycache__"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below a folder.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() && !NOT_OURS.iter().any(|other| name == *other) {
            files_below(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// A text file of the tree.
struct Text {
    /// Path from the root, for messages.
    path: String,
    text: String,
}

impl Text {
    /// All of the tree; what is no UTF-8 is no text.
    fn all() -> Result<Vec<Self>> {
        let root = root();
        let mut files = Vec::new();
        files_below(&root, &mut files)?;
        files.sort();
        let read = |path: &PathBuf| {
            let shown = path.strip_prefix(&root).unwrap_or(path).display().to_string();
            Some(Self { path: shown, text: fs::read_to_string(path).ok()? })
        };
        Ok(files.iter().filter_map(read).collect())
    }

    fn rust() -> Result<Vec<Self>> {
        let all: Vec<Self> = Self::all()?.into_iter().filter(|file| file.path.ends_with(".rs")).collect();
        ensure!(all.len() > 50, "only {} Rust files were found", all.len());
        Ok(all)
    }

    /// A file of tests or benchmarks: those of the crate `it`, of `tests` and `benches` folders, and modules kept beside
    /// the code.
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.contains("/benches/")
            || self.path.ends_with("_tests.rs")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("/testing.rs")
    }

    /// A program for people: its output is its purpose.
    fn prints(&self) -> bool {
        ["main.rs", "cli.rs", "print.rs"].iter().any(|name| self.path.ends_with(name))
            || self.path.contains("/cli/")
            || self.path.contains("/demo/")
            || self.path.contains("/bin/")
    }

    /// The lines before the unit tests at the end of the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_tests = |line: &str| line == "#[cfg(test)]" || line == "#![cfg(test)]";
        let end = self.text.lines().enumerate().find(|&(at, line)| {
            is_tests(line) && !self.text.lines().nth(at + 1).is_some_and(|next| next.ends_with(';'))
        });
        let end = end.map_or(usize::MAX, |(at, _)| at);
        self.text.lines().take(end).enumerate().map(|(at, line)| (at + 1, line))
    }
}

fn none_of(what: &str, broken: &[String]) -> Result<()> {
    ensure!(broken.is_empty(), "{what}:\n  {}", broken.join("\n  "));
    Ok(())
}

#[test]
fn every_file_opens_by_saying_what_it_is() -> Result<()> {
    let silent = Text::rust()?.into_iter().filter(|file| !file.text.starts_with("//! "));
    none_of("files without a `//!` at the top", &silent.map(|file| file.path).collect::<Vec<_>>())
}

#[test]
fn files_are_short() -> Result<()> {
    let mut long = Vec::new();
    for file in Text::rust()?.iter().filter(|file| !file.is_test()) {
        let lines = file.code().count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", file.path));
        }
    }
    none_of("files to be split", &long)
}

#[test]
fn functions_are_short() -> Result<()> {
    let mut long = Vec::new();
    for file in Text::rust()?.iter().filter(|file| !file.is_test()) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| begins_function(line)) {
            let indent = &line[..line.len() - line.trim_start().len()];
            let end = format!("{indent}}}");
            // Formatted code closes a function with a brace under its first letter.
            let length = lines[at..].iter().position(|line| *line == end).map_or(0, |to| to + 1);
            let one_line = line.ends_with('}') || line.ends_with(';');
            if length > FUNCTION_LINES_MAX && !one_line {
                long.push(format!("{}:{}: {length} lines, at most {FUNCTION_LINES_MAX}", file.path, at + 1));
            }
        }
    }
    none_of("functions to be split", &long)
}

fn begins_function(line: &str) -> bool {
    let words = line.split_whitespace().take_while(|word| {
        matches!(*word, "pub" | "async" | "const" | "unsafe" | "extern" | "fn") || word.starts_with("pub(")
    });
    words.last() == Some("fn")
}

#[test]
fn production_code_neither_panics_nor_prints() -> Result<()> {
    let mut broken = Vec::new();
    for file in Text::rust()?.iter().filter(|file| !file.is_test()) {
        for (number, line) in file.code().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let called = BANNED.iter().find(|word| line.contains(*word));
            let printed = PRINTING.iter().filter(|_| !file.prints()).find(|word| line.contains(*word));
            if let Some(word) = called.or(printed) {
                broken.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    none_of("calls that production code does not make", &broken)
}

#[test]
fn nothing_in_the_tree_names_the_machine_it_was_made_on() -> Result<()> {
    // In two parts, or this file would name it.
    let paths = [concat!("/ro", "ot/"), concat!("/tmp", "/w/"), concat!("/wo", "rk/")];
    let mut broken = Vec::new();
    for file in Text::all()? {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(path) = paths.iter().find(|path| line.contains(**path)) {
                broken.push(format!("{}:{}: {path}", file.path, at + 1));
            }
        }
    }
    none_of("paths of one machine", &broken)
}

#[test]
fn every_halt_has_a_section_in_the_runbook() -> Result<()> {
    let runbook = fs::read_to_string(root().join("connector/docs/RUNBOOK.md")).context("connector/docs/RUNBOOK.md")?;
    let headings: BTreeSet<String> = runbook
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| line.trim_start_matches('#').trim().trim_matches('`').to_owned())
        .collect();
    let missing: Vec<String> =
        protocol::Halt::CODES.iter().filter(|code| !headings.contains(**code)).map(ToString::to_string).collect();
    none_of("halts without a section of that name in connector/docs/RUNBOOK.md", &missing)
}

#[test]
fn the_compose_file_passes_its_own_check() -> Result<()> {
    let said = Command::new("python3").arg(root().join("compose/check")).output().context("start python3")?;
    let text = [said.stdout, said.stderr].concat();
    ensure!(said.status.success(), "compose/check: {}", String::from_utf8_lossy(&text));
    Ok(())
}

#[test]
fn the_commands_of_the_readme_exist() -> Result<()> {
    let readme = fs::read_to_string(root().join("README.md")).context("README.md")?;
    for command in ["cargo run --release -p connector -- demo", "tests/run"] {
        ensure!(readme.contains(command), "the README does not show `{command}`");
    }
    let mut broken = Vec::new();
    let code: Vec<&str> = code_of(&readme);
    for script in code.iter().flat_map(|code| code.split_whitespace()) {
        let is_script = ["compose/", "tests/"].iter().any(|folder| script.starts_with(folder));
        if is_script && !script.contains(['*', '<', '…']) && !root().join(script).exists() {
            broken.push(format!("{script} does not exist"));
        }
    }
    for name in ["connector", "catalog-sync"] {
        let help = Command::new(program::path(name)?).arg("--help").output()?;
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let known: BTreeSet<&str> = help.lines().filter_map(|line| line.split_whitespace().next()).collect();
        for code in &code {
            let after = [format!("{name} "), format!("-p {name} -- ")].into_iter().find_map(|start| {
                let rest = code
                    .split_once(&start)
                    .filter(|(before, _)| !before.ends_with(['-', '/', 'p']))
                    .or_else(|| code.split_once(&start).filter(|_| start.starts_with("-p ")))?;
                rest.1.split_whitespace().next()
            });
            let is_word =
                |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            if let Some(command) = after.filter(is_word).filter(|command| !known.contains(command)) {
                broken.push(format!("`{name} {command}` is not a command"));
            }
        }
    }
    none_of("commands of the README that do not exist", &broken)
}

/// The lines of code blocks, without their comments.
fn code_of(markdown: &str) -> Vec<&str> {
    let mut inside = false;
    let mut code = Vec::new();
    for line in markdown.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside || line.starts_with("    ") {
            code.push(line.split_once(" #").map_or(line, |(code, _)| code).trim());
        }
    }
    code
}
