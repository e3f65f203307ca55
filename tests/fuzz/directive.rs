//! Directives, as lines of a file: what is accepted is printed as something that is accepted, and means the
//! same.

use pbj_store::config::Config;
use pbj_store::resp::request::split_words;

use super::memory::within;
use super::{NUMBERS, Target, with_numbers};

/// Bytes for each byte of the input, and for the beginning: all directives have a value each.
const BYTES_FOR_EACH: usize = 512;
const BYTES_ANYWAY: usize = 256 << 10;

const WORDS: [&str; 16] = [
    "yes",
    "no",
    "\"\"",
    "1gb",
    "5%",
    "allkeys-lru",
    "normal",
    "replica",
    "pubsub",
    "KEA",
    ">password",
    "+@all",
    "~*",
    "(+get ~a)",
    "(",
    "\\x00",
];

pub(super) const TARGET: Target = Target {
    name: "directive",
    run,
    seeds,
    words: &with_numbers::<{ WORDS.len() }, { WORDS.len() + NUMBERS.len() }>(WORDS),
};

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = pbj_store::config::DIRECTIVES
        .iter()
        .map(|directive| format!("{} \"{}\"\n", directive.name, directive.default).into_bytes())
        .collect();
    seeds.extend(
        [
            "save 3600 1 300 100\nsave \"\"\n",
            "client-output-buffer-limit normal 0 0 0 pubsub 32mb 8mb 60\n",
            "user alice on >secret ~cached:* &ch.* +@read -@dangerous (+get ~x)\nuser bob\n",
            "maxmemory 100mb\nmaxmemory-clients 5%\nMAXMEMORY-POLICY allkeys-lfu\n",
            "bind 127.0.0.1 ::1 *\nport 7000\nunixsocketperm 700\n",
            "notify-keyspace-events KEA\nprot 1\nrename-command CONFIG \"\"\n",
        ]
        .map(|text| text.as_bytes().to_vec()),
    );
    seeds
}

fn run(input: &[u8]) {
    within(BYTES_ANYWAY + BYTES_FOR_EACH * input.len(), || {
        let mut config = Config::default();
        for line in input.split(|&byte| byte == b'\n') {
            let Ok(words) = split_words(line) else { continue };
            let words: Vec<String> =
                words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            let Some((name, words)) = words.split_first() else { continue };
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match config.set(name, &words) {
                // These add to lists of their own, and have no text.
                Ok(directive) if ["user", "rename-command"].contains(&directive.name) => {}
                Ok(directive) => means_the_same(&config, directive.name),
                Err(fault) => assert!(!fault.to_string().is_empty(), "a refusal without a reason"),
            }
        }
    });
}

/// What is printed can be read: as one word, or, where a directive has several, as these.
fn means_the_same(config: &Config, name: &str) {
    let text = config.text(name);
    let mut again = config.clone();
    let words: Vec<&str> = text.split(' ').collect();
    let set = again.set(name, &[text]).or_else(|_| again.set(name, &words));
    assert!(set.is_ok(), "'{name}' accepts what it then prints as '{text}', and not that: {set:?}");
    assert_eq!(again.text(name), text, "'{name}' changes when it is read again");
}
