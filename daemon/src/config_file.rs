//! From a file and a command line to a configuration.
//!
//! The language is that of redis.conf: a directive and its words on a line, quotes as in a shell, `#` for comments,
//! `include FILE`. The command line says the same with two dashes: `--port 7000 --save ""`.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use pbj_store::config::{self, Config, ConfigFault, Kind};
use pbj_store::resp::request::split_words;

/// Files that may include each other.
const INCLUDE_DEPTH_MAX: usize = 8;
/// Longest configuration file, in bytes.
const FILE_MAX: u64 = 4 << 20;

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigFileFault {
    /// The file cannot be read.
    Io {
        /// Its path.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A line makes no sense.
    Line {
        /// Where: a file, or the command line.
        place: String,
        /// Line, or argument, counted from 1.
        number: usize,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for ConfigFileFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, error } => write!(out, "cannot read {}: {error}", file.display()),
            Self::Line { place, number, reason } => write!(out, "{place}:{number}: {reason}"),
        }
    }
}

impl std::error::Error for ConfigFileFault {}

/// What a command line of `pbjd` asks for.
#[derive(Debug, Default)]
pub struct CommandLine {
    /// The configuration file; `-` for standard input.
    pub file: Option<PathBuf>,
    /// Directives, with their words.
    pub directives: Vec<(String, Vec<String>)>,
    /// `--version`.
    pub version: bool,
    /// `--help`.
    pub help: bool,
    /// `--check-config`.
    pub check_only: bool,
}

impl CommandLine {
    /// Reads the arguments behind the name of the program.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Self {
        let mut line = Self::default();
        // The first argument behind a directive is its value, whatever it looks like.
        let mut wants_value = false;
        let mut args = args.into_iter().enumerate().peekable();
        while let Some((nth, arg)) = args.next() {
            if let (true, Some((_, words))) = (wants_value, line.directives.last_mut()) {
                words.push(arg);
                wants_value = false;
                continue;
            }
            match arg.strip_prefix("--") {
                Some("version") => line.version = true,
                Some("help") => line.help = true,
                Some("check-config") => line.check_only = true,
                Some(directive) => {
                    let next = args.peek().map(|(_, next)| next.as_str());
                    wants_value = line.begin_directive(directive, next);
                }
                None if arg == "-v" => line.version = true,
                None if arg == "-h" => line.help = true,
                None if nth == 0 => line.file = Some(PathBuf::from(arg)),
                None => match line.directives.last_mut() {
                    Some((_, words)) => words.push(arg),
                    None => wants_value = line.begin_directive(&arg, None),
                },
            }
        }
        line
    }

    /// Takes a directive, which may have its value in the same argument (`--port 7000` in quotes); says whether the
    /// next
    /// argument is its value in any case.
    fn begin_directive(&mut self, directive: &str, next: Option<&str>) -> bool {
        let words = split_words(directive.as_bytes()).unwrap_or_default();
        let mut words = words.iter().map(|word| String::from_utf8_lossy(word).into_owned());
        let name = words.next().unwrap_or_default();
        let mut words: Vec<String> = words.collect();
        let alone = words.is_empty();
        let ends = next.is_none_or(|next| next.starts_with("--"));
        if alone && ends && name.eq_ignore_ascii_case("save") {
            // No save points at all.
            words.push(String::new());
        }
        let is_flag = config::find(&name).is_some_and(|known| matches!(known.kind, Kind::Flag));
        let complete = !words.is_empty() || (is_flag && ends);
        self.directives.push((name, words));
        !complete
    }

    /// The configuration: the file first, then the directives.
    ///
    /// # Errors
    /// Something cannot be read or makes no sense.
    pub fn config(&self) -> Result<Config, ConfigFileFault> {
        let mut config = Config::default();
        let mut saves = 0;
        if let Some(file) = &self.file {
            read_file(&mut config, file, 0, &mut saves)?;
        }
        for (number, (name, words)) in self.directives.iter().enumerate() {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let fault = |reason: String| ConfigFileFault::Line {
                place: "command line".to_owned(),
                number: number + 1,
                reason,
            };
            // A flag without a word is meant as yes.
            let is_flag = config::find(name).is_some_and(|known| matches!(known.kind, Kind::Flag));
            let words = if words.is_empty() && is_flag { vec!["yes"] } else { words };
            set(&mut config, name, &words, &mut saves).map_err(fault)?;
        }
        Ok(config)
    }
}

/// Sets a directive; save points add up once the first ones have replaced the built-in ones. A fault shows the whole
/// directive, because the reason alone does not say which word is wrong.
fn set(config: &mut Config, name: &str, words: &[&str], saves: &mut usize) -> Result<(), String> {
    let mut all = words.to_vec();
    let before = config.text("save").to_owned();
    if name.eq_ignore_ascii_case("save") {
        if *saves > 0 && words != [""] {
            all.splice(0..0, before.split_ascii_whitespace());
        }
        *saves += 1;
    }
    config.set(name, &all).map(|_| ()).map_err(|fault| match fault {
        ConfigFault::Invalid { name, reason } => {
            let words: String = words.iter().map(|word| format!(" \"{word}\"")).collect();
            format!("'{name}{words}': {reason}")
        }
        other => other.to_string(),
    })
}

fn read_file(
    config: &mut Config,
    file: &Path,
    depth: usize,
    saves: &mut usize,
) -> Result<(), ConfigFileFault> {
    let fault = |error| ConfigFileFault::Io { file: file.to_owned(), error };
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(FILE_MAX).read_to_string(&mut text).map_err(fault)?;
    } else {
        let opened = std::fs::File::open(file).map_err(fault)?;
        opened.take(FILE_MAX).read_to_string(&mut text).map_err(fault)?;
    }
    for (number, line) in text.lines().enumerate() {
        let fault = |reason: String| ConfigFileFault::Line {
            place: file.display().to_string(),
            number: number + 1,
            reason,
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words = split_words(line.as_bytes()).map_err(|_| fault("quotes do not match".to_owned()))?;
        let words: Vec<String> =
            words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let Some((name, words)) = words.split_first() else { continue };
        if name.eq_ignore_ascii_case("include") {
            if depth >= INCLUDE_DEPTH_MAX {
                return Err(fault("files include each other too deeply".to_owned()));
            }
            let base = file.parent().unwrap_or(Path::new("."));
            words.iter().try_for_each(|other| read_file(config, &base.join(other), depth + 1, saves))?;
            continue;
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        set(config, name, &words, saves).map_err(fault)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &[&str]) -> CommandLine {
        CommandLine::parse(args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn the_command_line_comes_after_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pbjd.conf");
        std::fs::write(folder.path().join("more.conf"), "maxmemory 5mb\n").unwrap();
        std::fs::write(&file, "# comment\nport 7000\ninclude more.conf\ndir \"/tmp/with space\"\n").unwrap();
        let config = line(&[file.to_str().unwrap(), "--port", "7001", "--save", ""]).config().unwrap();
        assert_eq!(config.integer("port"), 7001);
        assert_eq!(config.maxmemory(), 5 << 20);
        assert_eq!(config.text("dir"), "/tmp/with space");
    }

    #[test]
    fn mistakes_say_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pbjd.conf");
        std::fs::write(&file, "port 7000\nprot 7001\n").unwrap();
        let error = line(&[file.to_str().unwrap()]).config().unwrap_err().to_string();
        assert!(error.ends_with("pbjd.conf:2: unknown directive 'prot', did you mean 'port'?"), "{error}");
        let error = line(&["--port", "x"]).config().unwrap_err().to_string();
        assert_eq!(error, "command line:1: 'port \"x\"': argument couldn't be parsed into an integer");
        assert!(line(&["/nowhere.conf"]).config().unwrap_err().to_string().starts_with("cannot read"));
    }

    #[test]
    fn values_may_look_like_directives_and_stand_beside_their_names() {
        let config = line(&["--proc-title-template", "--mine--", "--port 7001", "--save", "--hz", "20"])
            .config()
            .unwrap();
        assert_eq!(config.text("proc-title-template"), "--mine--");
        assert_eq!((config.integer("port"), config.integer("hz"), config.text("save")), (7001, 20, ""));
        let config = line(&["--save", "100", "100", "--save", "900 1", "--appendonly"]).config().unwrap();
        assert_eq!((config.text("save"), config.flag("appendonly")), ("100 100 900 1", true));
        let error = |args: &[&str]| line(args).config().unwrap_err().to_string();
        assert_eq!(error(&["--port"]), "command line:1: 'port': wrong number of arguments");
        assert_eq!(
            error(&["--port", "1", "2"]),
            "command line:1: 'port \"1\" \"2\"': wrong number of arguments"
        );
        assert!(error(&["--port", "--loglevel", "verbose"]).contains("'port \"--loglevel\" \"verbose\"'"));
    }
}
